// What every client here does: it is given an address and JSON that says what to do, prints what happens as one line of
// JSON each, and ends by itself. Judging is left to who started it.

export const url = process.argv[2];
export const options = JSON.parse(process.argv[3] ?? "{}");

const LIMIT_MS = 60_000;

export function print(event, fields = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
}

setTimeout(() => {
  print("late");
  process.exit(2);
}, LIMIT_MS).unref();

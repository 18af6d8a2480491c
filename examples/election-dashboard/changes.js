/** What has changed from one version of the document to the next. Knows no page. */

/** A document without a version before it, or the first one of another night: nothing has changed. */
const NOTHING = { parties: new Map(), districts: new Set(), notes: [], isNew: true };

const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

/**
 * Compares two versions.
 *
 * @param before The version before; undefined if there was none.
 * @param after The version that is shown now.
 * @returns {{ parties: Map<string, { seats: number, votes: number }>, districts: Set<string>, notes: object[],
 *   isNew: boolean }} Differences of parties by their keys, names of districts that have reported, and sentences with
 *   the party that they are about, the most important first.
 */
export function compare(before, after) {
  if (before === undefined || after.turnout.votes < before.turnout.votes) return NOTHING;
  const parties = compareParties(before.parties, after.parties);
  const { districts, notes } = compareDistricts(before, after);
  return { parties, districts, notes: [...notesOfSeats(parties, after.parties), ...notes], isNew: false };
}

function compareParties(before, after) {
  const earlier = new Map(before.map((party) => [party.key, party]));
  const found = new Map();
  for (const { key, seats, votes } of after) {
    const one = earlier.get(key);
    const change = { seats: seats - (one?.seats ?? 0), votes: votes - (one?.votes ?? 0) };
    if (change.seats !== 0 || change.votes !== 0) found.set(key, change);
  }
  return found;
}

function notesOfSeats(changes, parties) {
  const notes = [];
  for (const { key, name } of parties) {
    const seats = changes.get(key)?.seats ?? 0;
    if (seats > 0) notes.push({ party: key, text: `${name} gain ${plural(seats, "seat")}` });
    if (seats < 0) notes.push({ party: key, text: `${name} lose ${plural(-seats, "seat")}` });
  }
  return notes;
}

function compareDistricts(before, after) {
  const earlier = new Map(before.districts.map((district) => [district.name, district]));
  const names = new Map(after.parties.map(({ key, name }) => [key, name]));
  const found = { districts: new Set(), notes: [] };
  for (const district of after.districts) {
    const one = earlier.get(district.name);
    if (one === undefined || one.counted === district.counted) continue;
    found.districts.add(district.name);
    const text = noteOf(one, district, (key) => names.get(key) ?? key);
    if (text !== null) found.notes.push({ party: district.leader, text: `${district.name}: ${text}` });
  }
  return found;
}

/** Says what is worth telling about a district; null if nothing is. */
function noteOf(before, after, nameOf) {
  if (after.counted === 100) {
    const isHeld = after.leader === after.before;
    return `${nameOf(after.leader)} ${isHeld ? "hold it" : `win it from ${nameOf(after.before)}`}`;
  }
  if (before.leader === null) return `first votes, ${nameOf(after.leader)} are ahead`;
  if (before.leader !== after.leader) return `${nameOf(after.leader)} overtake ${nameOf(before.leader)}`;
  return null;
}

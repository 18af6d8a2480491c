// The geometry of a parliament.

const INNER = 0.42; // the radius of the innermost row; that of the outermost is 1

// Gives the places of all seats, as {x, y, r}, from left to right. y points upwards.
export function placesOf(total) {
  const rows = Math.max(1, Math.round(Math.sqrt(total / 3.1)));
  const radius = (row) => (rows === 1 ? 1 : INNER + ((1 - INNER) * row) / (rows - 1));
  const length = Array.from({ length: rows }, (_, row) => radius(row)).reduce((sum, one) => sum + one, 0);
  const places = [];
  let left = total;
  for (let row = 0; row < rows; row++) {
    const count = row === rows - 1 ? left : Math.round((total * radius(row)) / length);
    left -= count;
    for (let seat = 0; seat < count; seat++) {
      const angle = count === 1 ? Math.PI / 2 : Math.PI * (1 - seat / (count - 1));
      places.push({ x: radius(row) * Math.cos(angle), y: radius(row) * Math.sin(angle), angle, row });
    }
  }
  const size = Math.min(0.42 * ((1 - INNER) / Math.max(1, rows - 1)), (0.42 * Math.PI) / Math.max(1, total / rows));
  places.sort((a, b) => b.angle - a.angle || a.row - b.row);
  return { places, size };
}

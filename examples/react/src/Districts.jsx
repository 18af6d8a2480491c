import { memo } from "react";
import { useFeed } from "livefeed/react";
import { Drawn } from "./Drawn.jsx";

/** The table of a hundred districts, of which a few report at a time. */
export function Districts({ url }) {
  const { value: districts } = useFeed(url, "/districts");
  if (districts === undefined) return null;
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">District</th>
          <th scope="col">Counted</th>
          <th scope="col">Ahead</th>
          <th scope="col">Row</th>
        </tr>
      </thead>
      <tbody>
        {districts.map((district) => (
          <District key={district.name} district={district} />
        ))}
      </tbody>
    </table>
  );
}

const District = memo(({ district: { name, counted, leader } }) => (
  <tr>
    <th scope="row">{name}</th>
    <td>{counted} %</td>
    <td>{leader ?? "–"}</td>
    <td>
      <Drawn name={name} />
    </td>
  </tr>
));

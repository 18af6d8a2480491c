import { memo } from "react";
import { useFeed } from "livefeed/react";
import { Drawn } from "./Drawn.jsx";

/** The table of the parties. Its rows are drawn when their own party changes. */
export function Parties({ url }) {
  const { value: parties } = useFeed(url, "/parties");
  if (parties === undefined) return null;
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Party</th>
          <th scope="col">Seats</th>
          <th scope="col">Votes</th>
          <th scope="col">Row</th>
        </tr>
      </thead>
      <tbody>
        {parties.map((party) => (
          <Party key={party.key} party={party} />
        ))}
      </tbody>
    </table>
  );
}

/** A party that has not changed is the same object as before, so `memo` leaves its row as it is. */
const Party = memo(({ party: { key, name, seats, votes } }) => (
  <tr>
    <th scope="row">{name}</th>
    <td>{seats}</td>
    <td>{votes.toLocaleString("en")}</td>
    <td>
      <Drawn name={key} />
    </td>
  </tr>
));

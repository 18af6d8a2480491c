import { Districts } from "./Districts.jsx";
import { Drawn } from "./Drawn.jsx";
import { Parties } from "./Parties.jsx";
import { State } from "./State.jsx";

/** All components below share one connection, since they follow the same address. */
export function App({ url }) {
  return (
    <>
      <h1>
        Election night <Drawn name="App" />
      </h1>
      <State url={url} />
      <Parties url={url} />
      <Districts url={url} />
    </>
  );
}

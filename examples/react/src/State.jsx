import { useEffect, useState } from "react";
import { useFeed } from "livefeed/react";

const WORDS = {
  live: "Live",
  stale: "Not updated",
  held: "New numbers are being checked",
  ended: "Final",
  expired: "Too old to be shown",
  withdrawn: "Withdrawn",
};

/** The state of the document, or that the line is down; and its age, which changes by itself. */
export function State({ url }) {
  const { state, line, feed } = useFeed(url, "/title");
  const [age, setAge] = useState(null);
  useEffect(() => {
    const timer = setInterval(() => setAge(feed?.age() ?? null), 1000);
    return () => clearInterval(timer);
  }, [feed]);
  return (
    <p>
      <b role="status">{line === "offline" ? "No connection" : (WORDS[state] ?? state ?? "Connecting")}</b>
      {age !== null && `, confirmed ${Math.round(age / 1000)} s ago`}
    </p>
  );
}

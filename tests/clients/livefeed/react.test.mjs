// The hook, in React itself.

import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { createElement } from "react";
import { act, create } from "react-test-renderer";
import { WebSocket } from "ws";
import { Server, versionOf } from "./server.mjs";

globalThis.IS_REACT_ACT_ENVIRONMENT = true;

// In a folder from which "react" is found: the package has it from the application.
const outfile = fileURLToPath(new URL(`../node_modules/.livefeed-react-${process.pid}.mjs`, import.meta.url));
const entry = fileURLToPath(new URL("../../../clients/js/src/react.js", import.meta.url));
await build({ entryPoints: [entry], outfile, bundle: true, format: "esm", external: ["react"] });
const { useFeed } = await import(outfile);
rmSync(outfile);

async function until(condition) {
  const limit = AbortSignal.timeout(15_000);
  while (!condition()) {
    limit.throwIfAborted();
    await act(() => new Promise((resolve) => setTimeout(resolve, 20)));
  }
}

test("components share a feed, and are drawn when their part changes", async () => {
  const server = await Server.start('{"a":1,"b":{"c":1}}');
  const options = { WebSocket };
  const draws = { "/a": [], "/b": [] };
  const feeds = new Set();
  const Part = ({ pointer }) => {
    const { value, state, feed } = useFeed(server.url, pointer, options);
    draws[pointer].push([value, state]);
    if (feed) feeds.add(feed);
    return createElement("span", null, JSON.stringify(value));
  };
  const page = createElement("div", null, ...Object.keys(draws).map((pointer) => createElement(Part, { pointer, key: pointer })));
  let root;
  await act(() => {
    root = create(page);
  });
  assert.deepEqual(draws["/a"][0], [undefined, null]);
  await until(() => [...feeds].every((feed) => feed.line === "open"));
  assert.equal(feeds.size, 1);
  const [feed] = feeds;
  const before = draws["/b"].length;
  server.set('{"a":2,"b":{"c":1}}');
  server.push(server.message());
  await until(() => feed.version === versionOf(server.text));
  await until(() => draws["/a"].at(-1)[0] === 2);
  assert.equal(draws["/b"].length, before);
  assert.deepEqual(draws["/b"].at(-1), [{ c: 1 }, "live"]);
  assert.deepEqual(root.toJSON().children.map(({ children }) => children[0]), ["2", '{"c":1}']);
  await act(() => root.unmount());
  await until(() => server.streams.size === 0);
  assert.ok(feed.isClosed);
  await server.close();
});

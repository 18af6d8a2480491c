// Sends requests one after another, with Node's own fetch.
//
// requests: of each its path, method and headers; conditional adds the last answer's tag

import { options, print, url } from "./lines.mjs";

let tag = "";
for (const { path, method = "GET", headers = {}, conditional = false } of options.requests) {
  const condition = conditional ? { "If-None-Match": tag } : {};
  const response = await fetch(url + path, { method, headers: { ...headers, ...condition } });
  const body = Buffer.from(await response.arrayBuffer()).toString("base64");
  tag = response.headers.get("ETag") ?? tag;
  print("answer", { status: response.status, headers: Object.fromEntries(response.headers), body });
}

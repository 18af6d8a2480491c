// The lines with which programs use this feed.

import { element, write } from "./dom.js";
import { strings } from "./strings.js";

// Gives the lines for each language.
export function linesFor(url, library) {
  const socket = url.replace(/^http/, "ws");
  return {
    javascript: [
      '<script type="module">',
      `  import { follow } from "${library}";`,
      `  follow("${url}", { onChange(data) { console.log(data); } });`,
      "</" + "script>",
    ],
    curl: [`curl ${url}`, `curl --no-buffer ${url}.sse`],
    python: [
      "from websockets.sync.client import connect  # pip install websockets",
      "",
      `with connect("${socket}.ws") as feed:`,
      "    for document in feed:",
      "        print(document)",
    ],
  };
}

export function howto(url, library) {
  const blocks = Object.entries(linesFor(url, library)).map(([language, lines]) => {
    const text = lines.join("\n");
    const parts = [element("h3", {}, strings.languages[language])];
    // Outside of a secure context there is no clipboard.
    if (navigator.clipboard) {
      const button = element("button", { type: "button", class: "copy", "aria-label": `${strings.copy}: ${strings.languages[language]}` }, strings.copy);
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(text);
        write(button, strings.copied);
        setTimeout(() => write(button, strings.copy), 2000);
      });
      parts.push(button);
    }
    return element("section", { class: "code" }, element("div", {}, ...parts), element("pre", { tabindex: "0" }, element("code", {}, text)));
  });
  return element("div", { class: "howto" }, element("p", { class: "note" }, strings.howtoIntro), ...blocks);
}

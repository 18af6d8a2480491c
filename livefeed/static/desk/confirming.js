// The question that is asked before a command that every watcher notices, or that nothing takes back.

import { element, write } from "../page/dom.js";
import { strings } from "./strings.js";

export class Confirming {
  constructor() {
    this.title = element("h2", { id: "confirm-title" });
    this.text = element("p", { id: "confirm-text" });
    this.cancel = element("button", { type: "button" }, "");
    this.go = element("button", { type: "button", class: "danger" }, "");
    this.element = element("dialog", { "aria-labelledby": "confirm-title", "aria-describedby": "confirm-text" }, this.title, this.text, element("p", { class: "choices" }, this.cancel, this.go));
    this.cancel.addEventListener("click", () => this.element.close());
  }

  // Asks, and calls a function if the reader goes on. title, text, go, keep: the texts.
  ask({ title, text, go, keep = strings.cancel }, then) {
    write(this.title, title);
    write(this.text, text);
    write(this.go, go);
    write(this.cancel, keep);
    this.go.onclick = () => {
      this.element.close();
      then();
    };
    this.element.showModal();
    this.cancel.focus();
  }
}

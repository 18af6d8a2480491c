// The form for the token.

import { element, write } from "../page/dom.js";
import { strings } from "./strings.js";

export class Login {
  // enter: called with a token; gives a promise of the reason why it does not fit, or null.
  constructor(enter) {
    this.token = element("input", {
      ...{ id: "token", type: "password", required: true, autocomplete: "current-password", spellcheck: "false" },
      ...{ "aria-describedby": "token-hint token-error" },
    });
    this.error = element("p", { id: "token-error", role: "alert", class: "error" });
    this.button = element("button", { class: "main" }, strings.enter);
    this.element = element(
      "form",
      { class: "card login", onsubmit: (event) => this.submit(event, enter) },
      element("h2", {}, strings.login),
      element("label", { for: "token" }, strings.token),
      this.token,
      element("p", { id: "token-hint", class: "note" }, strings.tokenHint),
      this.error,
      this.button,
    );
  }

  async submit(event, enter) {
    event.preventDefault();
    if (this.button.getAttribute("aria-disabled") === "true") return;
    this.button.setAttribute("aria-disabled", "true");
    const why = await enter(this.token.value.trim());
    this.button.removeAttribute("aria-disabled");
    this.say(why ?? "");
    if (why === null) this.token.value = "";
    else this.token.select();
  }

  say(why) {
    write(this.error, why);
    this.token.setAttribute("aria-invalid", String(why !== ""));
  }
}

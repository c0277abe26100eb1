// As much of a page's document as the JSONP transport of engine.io-client 3 uses: scripts that are loaded and executed,
// and a form that is submitted into an iframe.
import { runInThisContext } from "node:vm";
import { request } from "./http.js";

/** Makes the document global. Returns the responses to its scripts, oldest first. */
export function openPage() {
  const scripts = [];
  const createElement = (tag) => {
    if (tag.startsWith("<")) throw new Error("only Internet Explorer creates elements of HTML");
    return new Element(tag, scripts);
  };
  const [head, body] = [createElement("head"), createElement("body")];
  globalThis.document = { createElement, getElementsByTagName: () => [], head, body };
  return scripts;
}

class Element {
  #tag;
  #scripts;
  #children = [];
  style = {};

  constructor(tag, scripts) {
    this.#tag = tag;
    this.#scripts = scripts;
  }

  setAttribute() {}

  appendChild(child) {
    child.parentNode = this;
    this.#children.push(child);
    if (child.#tag === "script") void child.#load();
  }

  removeChild(child) {
    this.#children = this.#children.filter((other) => other !== child);
  }

  async #load() {
    try {
      const response = await request(this.src);
      this.#scripts.push(response);
      if (response.status !== 200) throw new Error(`status ${response.status}`);
      runInThisContext(response.body);
    } catch (error) {
      this.onerror(error);
    }
  }

  async submit() {
    const fields = this.#children.filter((child) => child.#tag === "textarea");
    // Browsers normalise line breaks.
    const pairs = fields.map(({ name, value }) => [name, value.replace(/\r\n|\r|\n/g, "\r\n")]);
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    await request(this.action, { method: "POST", headers, body: new URLSearchParams(pairs).toString() });
    this.#children.find((child) => child.#tag === "iframe").onload();
  }
}

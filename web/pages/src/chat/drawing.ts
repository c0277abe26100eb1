// Elements that the chat is drawn with. Texts of users become text, never HTML.

import type { Person } from "./chat.js";

export function make<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  className = "",
  text = "",
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/** Returns the initials of a person on a colour that depends on the id: two people of one name look different. */
export function avatar({ id, name }: Person): HTMLElement {
  const initials = name.split(" ").map((word) => [...word][0] ?? "");
  const element = make("span", "avatar", initials.slice(0, 2).join("").toUpperCase());
  element.setAttribute("aria-hidden", "true");
  element.style.setProperty("--hue", `${(Number.parseInt(id.slice(0, 6), 16) || 0) % 360}`);
  return element;
}

/** Returns a text whose web addresses can be clicked. */
export function linked(text: string): HTMLElement {
  const paragraph = make("p", "text");
  paragraph.dir = "auto";
  let end = 0;
  for (const match of text.matchAll(/https?:\/\/[^\s<>"']+/gi)) {
    const address = match[0].replace(/[.,;:!?)\]}]+$/, ""); // the end of a sentence
    const url = parsed(address);
    if (!url || !["http:", "https:"].includes(url.protocol) || url.username || url.password) continue;
    const link = make("a", "", address);
    link.href = url.href;
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
    paragraph.append(text.slice(end, match.index), link);
    end = match.index + address.length;
  }
  paragraph.append(text.slice(end));
  return paragraph;
}

function parsed(address: string): URL | null {
  return URL.canParse(address) ? new URL(address) : null;
}

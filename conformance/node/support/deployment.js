// The snippets of docs/deployment.md. The tests run them as they are printed, apart from addresses, files and whatever
// a test changes on purpose.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const DOCUMENT = readFileSync(new URL("../../../docs/deployment.md", import.meta.url), "utf8");

/** Returns the code block in `language` whose first line is `# title`. */
export function snippet(language, title) {
  const blocks = DOCUMENT.matchAll(/^```(\S+)\n# (.+)\n([^]*?)^```$/gm);
  const found = [...blocks].filter(([, ...block]) => block[0] === language && block[1] === title);
  assert.equal(found.length, 1, `docs/deployment.md has one ${language} block that begins with "# ${title}"`);
  return found[0][3];
}

/**
 * Replaces every `from` in `text`, a string or a global expression. Fails if there is none: then the document has
 * changed, and the test must change too.
 */
export function replaced(text, from, to) {
  const result = text.replaceAll(from, to);
  assert.notEqual(result, text, `docs/deployment.md contains ${from}`);
  return result;
}

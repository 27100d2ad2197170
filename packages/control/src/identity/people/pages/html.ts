// Promises HTML in which every value is text: what is put between tags or into an attribute cannot become markup. Trusts only its own templates.
// Escapes: OWASP rule for double-quoted attributes and element content; no value may stand in a script, a style or an unquoted attribute.

/** Markup that came out of `html`, and nothing else. */
export class Html {
  readonly #text: string;
  private constructor(text: string) {
    this.#text = text;
  }
  /** Only for constants of this program (a style sheet, a script whose digest is in the policy). */
  static constant(text: string): Html {
    return new Html(text);
  }
  toString(): string {
    return this.#text;
  }
}

type Value = string | number | Html | readonly Html[] | null | false;

/** `html\`<p title="${title}">${text}</p>\``: texts are escaped, markup and lists of it are taken as they are, null and false are nothing. */
export function html(strings: TemplateStringsArray, ...values: readonly Value[]): Html {
  let text = strings[0] ?? "";
  for (const [index, value] of values.entries()) text += print(value) + (strings[index + 1] ?? "");
  return Html.constant(text);
}

function print(value: Value): string {
  if (value === null || value === false) return "";
  if (value instanceof Html) return value.toString();
  if (typeof value === "object") return value.map(String).join("");
  return escapeHtml(String(value));
}

const escapes: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
  "`": "&#96;",
};

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"'`]/g, (character) => escapes[character] ?? "");
}

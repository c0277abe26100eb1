// What pictures and charts share.

/** Resolves colours of the style sheet, by the names of their variables: a canvas knows neither variables nor `light-dark()`. */
export function coloursOf<Name extends string>(canvas: HTMLElement, names: readonly Name[], prefix = ""): Record<Name, string> {
  const probe = document.createElement("span");
  canvas.after(probe);
  const colours = names.map((name) => {
    probe.style.color = `var(--${prefix}${name})`;
    return [name, getComputedStyle(probe).color];
  });
  probe.remove();
  return Object.fromEntries(colours);
}

/** Returns the end of an axis: 1, 2 or 5 times a power of ten, and not less than `least`. */
export function endOfAxis(highest: number, least: number): number {
  if (highest <= least) return least;
  const power = 10 ** Math.floor(Math.log10(highest));
  return [1, 2, 5, 10].map((factor) => factor * power).find((end) => end >= highest)!;
}

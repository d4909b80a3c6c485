"use strict";

// The map: one cell is in the order of Tab, the arrow keys go from cell to cell.
(() => {
  const map = document.querySelector(".heat");
  const told = document.querySelector(".told");
  const rows = [...map.querySelectorAll("tbody tr")]
    .map((row) => [...row.querySelectorAll("td")])
    .filter((cells) => cells.length);
  let current = map.querySelector('td[tabindex="0"]') ?? rows[0][0];
  current.tabIndex = 0;

  const tell = (cell) => {
    const line = cell.parentElement;
    const signal = line.parentElement.querySelector('[scope="rowgroup"]').textContent;
    const position = line.querySelector('[scope="row"]').textContent;
    told.textContent = cell.dataset.told ?? `${signal}, ${position}: what the column says cannot occur.`;
  };
  const choose = (cell) => {
    current.tabIndex = -1;
    cell.tabIndex = 0;
    current = cell;
  };
  const place = (cell) => {
    const y = rows.findIndex((cells) => cells.includes(cell));
    return [y, rows[y].indexOf(cell)];
  };
  const moves = {
    ArrowUp: (y, x) => [y - 1, x],
    ArrowDown: (y, x) => [y + 1, x],
    ArrowLeft: (y, x) => [y, x - 1],
    ArrowRight: (y, x) => [y, x + 1],
    Home: (y) => [y, 0],
    End: (y) => [y, rows[y].length - 1],
    PageUp: (_, x) => [0, x],
    PageDown: (_, x) => [rows.length - 1, x],
  };
  map.addEventListener("keydown", (event) => {
    const cell = event.target.closest("td");
    const move = moves[event.key];
    if (!cell || !move || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const [y, x] = move(...place(cell));
    rows[y]?.[x]?.focus();
  });
  map.addEventListener("focusin", (event) => {
    const cell = event.target.closest("td");
    if (!cell) return;
    choose(cell);
    tell(cell);
  });
  map.addEventListener("click", (event) => event.target.closest("tbody td")?.focus());
  map.addEventListener("mouseover", (event) => {
    const cell = event.target.closest("tbody td");
    if (cell) tell(cell);
  });
  map.addEventListener("mouseleave", () => {
    if (document.activeElement === current) tell(current);
    else told.textContent = told.dataset.idle;
  });
})();

// The curve of times, drawn again when width or colours change.
(() => {
  const { tails } = JSON.parse(document.getElementById("data").textContent);
  const place = document.getElementById("chart");
  if (!place || !tails.length) return;
  const root = getComputedStyle(document.documentElement);
  const colour = (name) => root.getPropertyValue(`--${name}`).trim();
  const label = { legacy: "Hybrid", rust: document.querySelector("[data-candidate]").dataset.candidate };
  const time = (ns) => {
    const [size, unit] = ns >= 1e9 ? [1e9, "s"] : ns >= 1e6 ? [1e6, "ms"] : ns >= 1e3 ? [1e3, "µs"] : [1, "ns"];
    return `${Number((ns / size).toPrecision(3))} ${unit}`;
  };
  const share = (rarity) => `${Number((100 * (1 - 1 / rarity)).toPrecision(Math.max(2, Math.floor(Math.log10(rarity)) + 1)))} %`;
  const data = uPlot.join(tails.map((tail) => [tail.curve.map((at) => at[0]), tail.curve.map((at) => at[1])]));
  const times = data.slice(1).flat().filter((at) => at);
  const slowest = [Math.min(...times), Math.max(...times)];
  const most = Math.max(10, data[0].at(-1));
  // The axes are marked at round figures only: what is between them is read off the table.
  const marks = (from, to, digits) => {
    const found = [];
    for (let ten = 10 ** Math.floor(Math.log10(from)); ten <= to; ten *= 10) {
      for (const digit of digits) if (ten * digit >= from && ten * digit <= to) found.push(ten * digit);
    }
    return found;
  };
  let chart = null;

  const draw = () => {
    chart?.destroy();
    const line = { stroke: colour("line"), width: 1 };
    const axis = { stroke: colour("quiet"), grid: line, ticks: line, font: "12px system-ui, sans-serif" };
    chart = new uPlot(
      {
        width: place.clientWidth,
        height: 320,
        scales: { x: { time: false, distr: 3, range: [1, most] }, y: { distr: 3, range: [slowest[0] / 1.25, slowest[1] * 1.25] } },
        axes: [
          { ...axis, splits: () => marks(1, most, [1]), values: (_, splits) => splits.map((at) => (at === 1 ? "fastest" : share(at))) },
          { ...axis, size: 64, splits: () => marks(...slowest, slowest[1] / slowest[0] < 200 ? [1, 2, 5] : [1]), values: (_, splits) => splits.map(time) },
        ],
        legend: { markers: { fill: (_, number) => (number ? colour(tails[number - 1].side === "rust" ? "core" : "hybrid") : "transparent") } },
        series: [
          { label: "Share", value: (_, at) => (at === null ? "–" : share(at)) },
          ...tails.map((tail) => ({
            label: label[tail.side] ?? tail.side,
            stroke: colour(tail.side === "rust" ? "core" : "hybrid"),
            width: 2,
            dash: tail.side === "rust" ? undefined : [6, 3],
            spanGaps: true,
            points: { show: false },
            value: (_, at) => (at === null || at === undefined ? "–" : time(at)),
          })),
        ],
        cursor: { drag: { x: false, y: false } },
      },
      data,
      place,
    );
  };
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  matchMedia("print").addEventListener("change", draw);
  let width = place.clientWidth;
  new ResizeObserver(() => {
    if (place.clientWidth === width) return;
    width = place.clientWidth;
    chart.setSize({ width, height: 320 });
  }).observe(place);
})();

// Paper has nothing to click.
addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll("details")) each.open = true;
});

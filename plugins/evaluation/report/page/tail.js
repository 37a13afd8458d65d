// AP of every category against its number of training instances.
drawLazily('tail', ['tail', 'measure'], () => {
  const measures = report.measures.filter((measure) => measure.is_share);
  const shown = State.pick('tail', [...runs.keys(), ...runs.slice(1).map((_, k) => `diff${k + 1}`)], 0);
  const key = State.pick('measure', measures.map((measure) => measure.key), measures[0].key);
  const measure = measures.find((candidate) => candidate.key === key);
  const isDifference = shown.startsWith('diff');
  const run = Number(shown.replace('diff', ''));
  const isTrained = categories.train.some((number) => number !== null);
  const counts = isTrained ? categories.train : categories.annotations;
  const values = runs[run].columns[key].map((value, k) => (isDifference ? difference(value, runs[0].columns[key][k]) : value));
  const drawn = categories.id
    .map((_, k) => k)
    .filter((k) => values[k] !== null && counts[k] !== null)
    .sort((a, b) => counts[a] - counts[b] || categories.id[a] - categories.id[b]);
  const controls = el(
    'div',
    { class: 'tools' },
    runs.length > 1 ? select('Run', runs.map(({ name }, k) => [k, name]).concat(runs.slice(1).map(({ name }, k) => [`diff${k + 1}`, `${name} minus ${runs[0].name}`])), shown, (value) => State.set({ tail: value })) : null,
    select('Measure', measures.map(({ key: k, label }) => [k, label]), key, (value) => State.set({ measure: value })),
  );
  if (!drawn.length) {
    body('tail').replaceChildren(controls, el('p', { class: 'note' }, 'No category has a defined value.'));
    return;
  }

  const most = Math.max(...drawn.map((k) => counts[k]), 10);
  const least = Math.max(1, Math.min(...drawn.map((k) => counts[k])));
  const decades = Array.from({ length: Math.floor(Math.log10(most)) + 1 }, (_, k) => 10 ** k).filter((decade) => decade >= 0.8 * least);
  const low = isDifference ? Math.min(-0.1, ...drawn.map((k) => values[k])) : 0;
  const high = isDifference ? Math.max(0.1, ...drawn.map((k) => values[k])) : 1;
  const what = isDifference ? `${measure.label}, ${runs[run].name} minus ${runs[0].name} (points)` : `${measure.label} (%)`;
  const chart = Chart.frame({
    width: 1150, height: 430,
    x: { domain: [0.8 * least, 1.25 * most], log: true, ticks: decades, format: count, label: `${report.counts_words} (log scale)` },
    y: Chart.share(what, Math.floor(low * 10 + 1e-9) / 10, Math.ceil(high * 10 - 1e-9) / 10, high - low > 0.5 ? 0.2 : 0.1),
    label: `${what} of ${drawn.length} categories against their training instances; the table of categories holds the same numbers. Arrow keys step through the categories.`,
  });
  const points = drawn.map((k) => [chart.sx(counts[k]), chart.sy(values[k])]);
  drawn.forEach((k, i) => {
    const colour = `var(--${categories.group[k] || 'x'})`;
    chart.node.append(Chart.marker(categories.group[k], points[i][0], points[i][1], 3.2, { fill: colour, 'fill-opacity': 0.55, class: 'point', 'data-id': categories.id[k] }));
  });
  const lines = isDifference ? [run] : runs.map((_, k) => k);
  for (const line of lines) chart.node.append(trend(line, chart));
  const mark = svg('circle', { r: 8, fill: 'none', stroke: 'var(--ink)', 'stroke-width': 2, visibility: 'hidden' });
  chart.node.append(mark);
  listen(chart.node, mark);

  const groups = Object.keys(GROUPS).filter((group) => categories.group.includes(group));
  body('tail').replaceChildren(
    controls,
    el('div', { class: 'scroll' }, chart.node),
    el(
      'ul',
      { class: 'legend' },
      groups.map((group) => el('li', {}, svg('svg', { width: 12, height: 12, 'aria-hidden': 'true' }, Chart.marker(group, 6, 6, 4, { fill: `var(--${group})` })), GROUPS[group])),
      lines.map((line) => el('li', {}, svg('svg', { width: 22, height: 12, 'aria-hidden': 'true' }, Chart.path([[0, 6], [22, 6]], { stroke: runColour(line), 'stroke-width': 3 })), `running mean, ${runs[line].name}`)),
    ),
  );

  // Mean over a window of half a decade, where at least five categories fall into it.
  function trend(line, { sx, sy }) {
    const series = drawn
      .map((k) => [Math.log10(Math.max(counts[k], 1)), isDifference ? values[k] : runs[line].columns[key][k]])
      .filter(([, value]) => value !== null);
    const steps = [];
    for (let centre = 0; centre <= Math.log10(most); centre += 0.05) {
      const near = series.filter(([x]) => Math.abs(x - centre) <= 0.25);
      if (near.length >= 5) steps.push([sx(10 ** centre), sy(near.reduce((sum, [, value]) => sum + value, 0) / near.length)]);
    }
    return Chart.path(steps, { stroke: runColour(line), 'stroke-width': 3, 'stroke-linejoin': 'round', class: 'trend' });
  }

  function describe(k) {
    const lines_ = runs.map(({ name, columns }) => `${name}: ${percent(columns[key][k])}`);
    return `${categories.name[k]} (id ${categories.id[k]})\n${isTrained ? `${count(counts[k])} training, ` : ''}${count(categories.annotations[k])} evaluated instances\n${measure.label}: ${lines_.join(', ')}`;
  }

  function listen(node, ring) {
    let current = -1;
    const point = (i, event) => {
      current = i;
      ring.setAttribute('visibility', i < 0 ? 'hidden' : 'visible');
      if (i < 0) return Chart.tip('');
      ring.setAttribute('cx', points[i][0]);
      ring.setAttribute('cy', points[i][1]);
      return Chart.tip(describe(drawn[i]), event ?? ringPlace(ring));
    };
    node.setAttribute('tabindex', 0);
    node.addEventListener('pointermove', (event) => {
      const rectangle = node.getBoundingClientRect();
      const zoom = node.viewBox.baseVal.width / rectangle.width;
      const at = [(event.clientX - rectangle.left) * zoom, (event.clientY - rectangle.top) * zoom];
      let best = -1;
      let distance = 14;
      points.forEach(([x, y], i) => {
        const away = Math.hypot(x - at[0], y - at[1]);
        if (away < distance) [best, distance] = [i, away];
      });
      node.style.cursor = best < 0 ? '' : 'pointer';
      point(best, event);
    });
    node.addEventListener('pointerleave', () => point(-1));
    node.addEventListener('blur', () => point(-1));
    const choose = () => current >= 0 && Curves.add(drawn[current]);
    node.addEventListener('click', choose);
    node.addEventListener('keydown', (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) {
        event.preventDefault();
        point(Math.max(0, Math.min(drawn.length - 1, current + step)));
      } else if (event.key === 'Enter') choose();
      else if (event.key === 'Escape') point(-1);
    });
  }

  function ringPlace(ring) {
    const rectangle = ring.getBoundingClientRect();
    return { pageX: rectangle.right + scrollX, pageY: rectangle.bottom + scrollY };
  }
});

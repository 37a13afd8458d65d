// AP by protocol and frequency group, every run under every protocol.
drawLazily('overview', [], () => {
  const KEYS = ['AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'APr', 'APc', 'APf', 'AR'];
  const BARS = ['AP', 'APr', 'APc', 'APf'];
  const rest = [...new Set(report.protocols.flatMap(({ values }) => values.flatMap((row) => Object.keys(row))))];
  const known = KEYS.filter((key) => rest.includes(key));

  function cell(values, base, key, isFirst) {
    const value = values[key];
    const change = isFirst ? null : difference(value, base[key]);
    return el(
      'td',
      { title: value === undefined || value === null ? 'not defined' : String(value) },
      percent(value),
      change === null ? null : el('span', { class: `delta ${direction(change)}` }, signed(change)),
    );
  }

  function table(caption, protocols, keys) {
    const rows = protocols.flatMap((protocol) =>
      protocol.values.map((values, run) =>
        el(
          'tr',
          {},
          el('th', { class: 'text', scope: 'row' }, run ? '' : protocol.label),
          el('td', { class: 'text' }, swatch(runColour(run)), runs[run].name),
          keys.map((key) => cell(values, protocol.values[0], key, run === 0)),
        ),
      ),
    );
    const head = [['protocol', 'text'], ['run', 'text'], ...keys.map((key) => [key, ''])];
    return el(
      'div',
      { class: 'scroll' },
      el(
        'table',
        {},
        el('caption', {}, caption),
        el('thead', {}, el('tr', {}, head.map(([name, kind]) => el('th', { class: kind, scope: 'col' }, name)))),
        el('tbody', {}, rows),
      ),
    );
  }

  function bars(protocol) {
    const keys = BARS.filter((key) => protocol.values.some((row) => (row[key] ?? null) !== null));
    const chart = Chart.frame({
      width: Math.max(285, Math.min(480, Math.floor((1150 - 24 * (main.length - 1)) / main.length))), height: 230, title: protocol.label,
      x: { domain: [0, keys.length], ticks: [], label: '' },
      y: Chart.share('AP (%)', 0, top, top > 0.5 ? 0.2 : 0.1),
      label: `${protocol.label}: ` + protocol.values.map((row, run) => `${runs[run].name} ${keys.map((key) => `${key} ${percent(row[key])}`).join(', ')}`).join('; '),
    });
    keys.forEach((key, k) => {
      const wide = 0.76 / runs.length;
      chart.node.append(svg('text', { x: chart.sx(k + 0.5), y: chart.inner.bottom + 17, 'text-anchor': 'middle' }, key));
      protocol.values.forEach((row, run) => {
        if ((row[key] ?? null) === null) return;
        const x = chart.sx(k + 0.12 + run * wide);
        const y = chart.sy(row[key]);
        chart.node.append(
          svg('rect', { x, y, width: chart.sx(wide) - chart.sx(0) - 1, height: chart.inner.bottom - y, fill: runColour(run) },
            svg('title', {}, `${runs[run].name}: ${key} ${percent(row[key])}`)),
        );
        if (chart.sx(wide) - chart.sx(0) > 26) chart.node.append(svg('text', { x: x + (chart.sx(wide) - chart.sx(0)) / 2, y: y - 4, 'text-anchor': 'middle', style: 'font-size:10px' }, percent(row[key], 1)));
      });
    });
    return el('figure', {}, chart.node);
  }

  const main = report.protocols.filter(({ values }) => values.some((row) => 'AP' in row));
  const highest = Math.max(...main.flatMap(({ values }) => values.flatMap((row) => BARS.map((key) => row[key] ?? 0))));
  const top = Math.min(1, Math.max(0.1, Math.ceil(highest * 10 + 0.3) / 10)); // one scale for all
  const bins = report.protocols.filter((protocol) => !main.includes(protocol));
  const binKeys = [...new Set(bins.flatMap(({ values }) => values.flatMap((row) => Object.keys(row))))];
  body('overview').replaceChildren(
    el('div', { class: 'panels' }, main.map(bars)),
    table(`Average precision in percent, ${report.iou_words}`, main, known),
    bins.length ? table(`Mean AP of the categories in a bin of training instances (${report.bins_words}), percent`, bins, binKeys) : '',
    runs.length > 1 ? el('p', { class: 'note' }, `Small figures: difference from ${runs[0].name}, in points.`) : '',
  );
});

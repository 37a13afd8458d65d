// Reliability: the share of true detections among those of about the same score.
drawLazily('calibration', ['iou', 'group'], () => {
  const curves = runs[0].reliability;
  const thresholds = [...new Set(curves.map(({ iou }) => iou))];
  const groups = [...new Set(curves.map(({ group }) => group))];
  const iou = Number(State.pick('iou', thresholds, thresholds[0]));
  const group = State.pick('group', groups, groups[0]);
  const words = { all: 'all categories', r: 'rare', c: 'common', f: 'frequent' };

  function panel(run, index) {
    const curve = run.reliability.find((candidate) => candidate.iou === iou && candidate.group === group);
    const total = curve.count.reduce((sum, value) => sum + value, 0);
    const chart = Chart.frame({
      width: 380, height: 340, title: run.name,
      x: Chart.share('score (%)'), y: Chart.share(`true at IoU ≥ ${iou} (%)`),
      label: `Reliability of ${run.name}: expected calibration error ${percent(curve.ece)} percent over ${total} detections; numbers in the table below.`,
    });
    const { node, sx, sy, inner } = chart;
    const most = Math.max(...curve.count, 1);
    const wide = 1 / curve.count.length;
    curve.count.forEach((number, k) => {
      if (!number) return;
      const height = (Math.log1p(number) / Math.log1p(most)) * 60;
      node.append(
        svg('rect', { x: sx(k * wide) + 1, y: inner.bottom - height, width: sx(wide) - sx(0) - 2, height, fill: 'var(--line)' },
          svg('title', {}, `${count(number)} detections with a score of ${percent(k * wide, 0)} to ${percent((k + 1) * wide, 0)} %`)),
      );
    });
    node.append(Chart.path([[sx(0), sy(0)], [sx(1), sy(1)]], { stroke: 'var(--x)', 'stroke-dasharray': '5 4', 'stroke-width': 1.5 }));
    const filled = curve.count.map((_, k) => k).filter((k) => curve.count[k]);
    node.append(Chart.path(filled.map((k) => [sx(curve.score[k]), sy(curve.precision[k])]), { stroke: runColour(index) }));
    for (const k of filled) {
      node.append(svg('circle', { cx: sx(curve.score[k]), cy: sy(curve.precision[k]), r: 4, fill: runColour(index) },
        svg('title', {}, `mean score ${percent(curve.score[k])} %, true ${percent(curve.precision[k])} % of ${count(curve.count[k])}`)));
    }
    const head = ['score from', 'to', 'detections', 'mean score', 'true'];
    const rows = filled.map((k) => [percent(k * wide, 0), percent((k + 1) * wide, 0), count(curve.count[k]), percent(curve.score[k]), percent(curve.precision[k])]);
    return el(
      'figure',
      {},
      node,
      el('figcaption', {}, el('b', {}, `ECE ${percent(curve.ece)} %`), ` over ${count(total)} detections, ${words[group]}`),
      el('details', {}, el('summary', { class: 'note' }, 'Numbers (%)'),
        el('table', {}, el('caption', {}, `${run.name}, ${words[group]}, IoU ≥ ${iou}`), el('thead', {}, el('tr', {}, head.map((name) => el('th', { scope: 'col' }, name)))),
          el('tbody', {}, rows.map((row) => el('tr', {}, row.map((value) => el('td', {}, value))))))),
    );
  }

  body('calibration').replaceChildren(
    el(
      'div',
      { class: 'tools' },
      select('True means', thresholds.map((value) => [value, `IoU ≥ ${value}`]), iou, (value) => State.set({ iou: value })),
      select('Categories', groups.map((value) => [value, words[value]]), group, (value) => State.set({ group: value })),
    ),
    el('div', { class: 'panels' }, runs.map(panel)),
    el('p', { class: 'note' }, 'Dashed: a score that means what it says. Grey bars: detections per bin, log scale.'),
  );
});

// Precision over recall of the categories the reader picks.
const Curves = (() => {
  const MOST = 6;
  const POINTS = 101;
  const DASHES = ['', '7 4', '2 3', '9 3 2 3', '12 4', '4 2 1 2'];
  const KINDS = [['50', 'IoU ≥ 0.50'], ['75', 'IoU ≥ 0.75'], ['mean', 'mean over IoU 0.50 to 0.95']];
  const decoded = new Map();

  function curve(run, category, kind) {
    if (!decoded.has(run)) {
      decoded.set(run, Uint8Array.from(atob(runs[run].curves), (character) => character.charCodeAt(0)));
    }
    const start = (category * KINDS.length + KINDS.findIndex(([key]) => key === kind)) * POINTS;
    const values = decoded.get(run).subarray(start, start + POINTS);
    return values[0] === 255 ? null : Array.from(values, (value) => value / report.curve_steps);
  }

  // Without a choice: the category with most annotations of each frequency group.
  function chosen() {
    const wanted = State.list('pr').map((id) => categories.id.indexOf(Number(id))).filter((index) => index >= 0);
    if (State.get('pr') !== undefined) return [...new Set(wanted)].slice(0, MOST);
    const groups = [...new Set(categories.group)];
    return groups
      .map((group) => categories.id.map((_, k) => k).filter((k) => categories.group[k] === group && categories.annotations[k] > 0))
      .filter((members) => members.length)
      .map((members) => members.reduce((best, k) => (categories.annotations[k] > categories.annotations[best] ? k : best)));
  }

  function choose(list) {
    State.set({ pr: list.map((index) => categories.id[index]).join(',') });
  }

  function add(index) {
    const list = chosen().filter((other) => other !== index);
    choose([...list.slice(-(MOST - 1)), index]);
    document.getElementById('curves').scrollIntoView();
  }

  function picker() {
    const options = el('datalist', { id: 'pr-names' }, categories.name.map((name, k) => (categories.annotations[k] ? el('option', { value: name }) : null)));
    const message = el('span', { class: 'note', role: 'status' });
    const input = el('input', { type: 'search', id: 'pr-search', list: 'pr-names', placeholder: 'name or id', autocomplete: 'off' });
    const form = el('form', { class: 'tools', onsubmit: (event) => {
      event.preventDefault();
      const found = findCategories(input.value);
      const exact = found.find((k) => categories.name[k] === input.value.trim()) ?? found[0];
      if (input.value.trim() === '' || exact === undefined) message.textContent = `No category is called “${input.value}”.`;
      else {
        add(exact);
        document.getElementById('pr-search').focus();
      }
    } },
    el('div', {}, el('label', { for: 'pr-search' }, `Add a category (at most ${MOST} are drawn)`), input), el('button', {}, 'Add'), options,
    select('Precision at', KINDS, State.pick('pr-iou', KINDS.map(([key]) => key), '50'), (value) => State.set({ 'pr-iou': value })), message);
    return form;
  }

  function draw() {
    const kind = State.pick('pr-iou', KINDS.map(([key]) => key), '50');
    const list = chosen();
    const chart = Chart.frame({
      width: 700, height: 430, x: Chart.share('recall (%)'), y: Chart.share('precision (%)'),
      label: `Precision over recall of ${list.map((k) => categories.name[k]).join(', ') || 'no category'}`,
    });
    const legend = [];
    list.forEach((category, colour) => runs.forEach((run, k) => {
      const values = curve(k, category, kind);
      const stroke = `var(--run${colour})`;
      if (values) chart.node.append(Chart.path(values.map((value, i) => [chart.sx(i / (POINTS - 1)), chart.sy(value)]), { stroke, 'stroke-dasharray': DASHES[k % 6], class: 'curve' }));
      const area = values ? `${percent(values.reduce((sum, value) => sum + value, 0) / POINTS, 1)} %` : 'not defined';
      const line = svg('svg', { width: 34, height: 12, 'aria-hidden': 'true' }, Chart.path([[0, 6], [34, 6]], { stroke, 'stroke-dasharray': DASHES[k % 6] }));
      legend.push(el('li', {}, line, runs.length > 1 ? `${categories.name[category]}, ${run.name}: ${area}` : `${categories.name[category]}: ${area}`));
    }));
    const chips = list.map((index) => el('li', {}, el('button', { 'aria-label': `Remove ${categories.name[index]}`, onclick: () => choose(list.filter((other) => other !== index)) }, `${categories.name[index]} ×`)));
    body('curves').replaceChildren(
      picker(),
      el('ul', { class: 'chips', 'aria-label': 'Drawn categories' }, chips),
      el('div', { class: 'panels' }, el('figure', { class: 'scroll' }, chart.node), el('div', {}, el('p', { class: 'note' }, 'Mean precision over the 101 recall points'), el('ul', { class: 'legend', style: 'display:grid' }, legend))),
    );
  }

  drawLazily('curves', ['pr', 'pr-iou'], draw);
  return { add };
})();

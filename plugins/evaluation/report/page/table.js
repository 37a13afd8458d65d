// Every category: sortable, searchable, drawn in pieces.
drawLazily('categories', ['sort', 'dir', 'search', 'groups', 'columns'], (() => {
  const CHUNK = 80;
  const isNumber = (value) => typeof value === 'number';
  let parts = null;

  function chosenMeasures() {
    const known = report.measures.filter((measure) => State.list('columns').includes(measure.key));
    if (known.length) return known;
    return report.measures.filter((measure) => measure.is_default).slice(0, runs.length > 1 ? 1 : undefined);
  }

  function columns() {
    const fixed = [
      { key: 'name', label: 'category', values: categories.name, kind: 'name', title: 'name' },
      { key: 'id', label: 'id', values: categories.id, kind: 'count', title: 'category id' },
      { key: 'group', label: 'group', values: categories.group.map((group) => 'rcf'.indexOf(group)), kind: 'group', title: 'frequency group: rare, common, frequent' },
      { key: 'train', label: 'training', values: categories.train, kind: 'count', title: 'instances in the training split' },
      { key: 'annotations', label: 'evaluated', values: categories.annotations, kind: 'count', title: 'annotations that count in the evaluated set' },
    ];
    const measured = chosenMeasures().flatMap((measure) => runs.flatMap((run, k) => {
      const label = runs.length > 1 ? [measure.label, el('br'), swatch(runColour(k)), run.name] : [measure.label];
      const column = { key: `${measure.key}.${k}`, label, values: run.columns[measure.key], kind: measure.is_share ? 'share' : 'count', title: measure.words };
      if (!k || !measure.is_share) return [column];
      const change = run.columns[measure.key].map((value, i) => difference(value, runs[0].columns[measure.key][i]));
      return [column, { key: `${measure.key}.${k}.change`, label: [measure.label, el('br'), 'change'], values: change, kind: 'change', title: `${run.name} minus ${runs[0].name}, points` }];
    }));
    return [...fixed, ...measured];
  }

  // Values that are not defined stay at the end in both directions.
  function sorted(indices, column, isDescending) {
    const order = (a, b) => {
      const [x, y] = [column.values[a], column.values[b]];
      if (x === null || y === null) return (x === null) - (y === null);
      const compared = isNumber(x) ? x - y : x.localeCompare(y, 'en');
      return isDescending ? -compared : compared;
    };
    return indices.sort((a, b) => order(a, b) || categories.id[a] - categories.id[b]);
  }

  function cell(column, k) {
    const value = column.values[k];
    switch (column.kind) {
      case 'name': return el('th', { class: 'text', scope: 'row' }, el('button', { title: 'Draw its precision over recall', onclick: () => Curves.add(k) }, value));
      case 'group': return el('td', {}, groupBadge(categories.group[k]));
      case 'share': return el('td', { class: 'meter', '--v': value === null ? 0 : 100 * value, title: value === null ? 'not defined' : String(value) }, percent(value));
      case 'change': return el('td', { class: direction(value) }, signed(value));
      default: return el('td', {}, count(value));
    }
  }

  function build() {
    const search = el('input', { type: 'search', id: 'search', placeholder: 'name or id', autocomplete: 'off', oninput: (event) => State.set({ search: event.target.value || null }) });
    const boxes = (name, options, onchange) => el('fieldset', {}, el('legend', {}, name), el('div', { class: 'options' },
      options.map(([key, label]) => el('label', {}, el('input', { type: 'checkbox', name, value: key, onchange }), label))));
    const ticked = (name) => [...document.querySelectorAll(`#categories input[name="${name}"]:checked`)].map((input) => input.value);
    const groups = Object.entries(GROUPS).filter(([group]) => categories.group.includes(group));
    const status = el('p', { class: 'note', role: 'status', id: 'found' });
    const rows = el('div', { class: 'rows', tabindex: 0, role: 'region', 'aria-label': 'Categories' });
    body('categories').replaceChildren(
      el(
        'div',
        { class: 'tools' },
        el('div', {}, el('label', { for: 'search' }, 'Search'), search),
        groups.length ? boxes('Groups', groups, () => State.set({ groups: ticked('Groups').length === groups.length ? null : ticked('Groups').join(',') || 'none' })) : null,
        boxes('Columns', report.measures.map(({ key, label }) => [key, label]), () => State.set({ columns: ticked('Columns').join(',') })),
      ),
      status,
      rows,
    );
    return { search, status, rows };
  }

  // The address may have been changed by hand or by the browser's history.
  function syncBoxes() {
    const measures = chosenMeasures().map((measure) => measure.key);
    const groups = State.get('groups') ? State.list('groups') : Object.keys(GROUPS);
    for (const input of document.querySelectorAll('#categories fieldset input')) {
      input.checked = (input.name === 'Groups' ? groups : measures).includes(input.value);
    }
  }

  function head(column, key, isDescending) {
    const isSorted = column.key === key;
    const flip = () => {
      State.set({ sort: column.key, dir: isSorted && isDescending === startsDown(column) ? (isDescending ? 'asc' : 'desc') : startsDown(column) ? 'desc' : 'asc' });
      document.querySelector(`#categories th[data-key="${CSS.escape(column.key)}"] button`).focus();
    };
    return el(
      'th',
      { scope: 'col', class: column.kind === 'name' ? 'text' : '', 'data-key': column.key, title: column.title, 'aria-sort': isSorted ? (isDescending ? 'descending' : 'ascending') : 'none' },
      el('button', { onclick: flip }, column.label),
    );
  }

  function startsDown(column) {
    return !['name', 'id', 'group'].includes(column.key);
  }

  function fill(rows, shown, all) {
    const target = el('tbody');
    const append = (upto) => {
      const from = target.childElementCount;
      target.append(...shown.slice(from, upto).map((k) => el('tr', { 'data-id': categories.id[k] }, all.map((column) => cell(column, k)))));
    };
    append(CHUNK);
    rows.onscroll = () => {
      if (rows.scrollTop + rows.clientHeight > rows.scrollHeight - 600) append(target.childElementCount + CHUNK);
    };
    rows.onbeforeprint = () => append(shown.length);
    return target;
  }

  window.addEventListener('beforeprint', () => parts?.rows.onbeforeprint?.());

  return () => {
    parts ??= build();
    const query = State.get('search', '');
    if (parts.search.value !== query) parts.search.value = query;
    const all = columns();
    // `sort=AP` means the first run's column, `sort=AP.1` the second's.
    const wanted = [State.get('sort'), `${State.get('sort')}.0`, `${chosenMeasures()[0].key}.0`];
    const key = wanted.find((name) => all.some((candidate) => candidate.key === name));
    const column = all.find((candidate) => candidate.key === key);
    const isDescending = State.pick('dir', ['asc', 'desc'], startsDown(column) ? 'desc' : 'asc') === 'desc';
    const groups = State.get('groups') ? State.list('groups') : null;
    const shown = sorted(findCategories(query).filter((k) => !groups || groups.includes(categories.group[k])), column, isDescending);
    syncBoxes();
    parts.status.textContent = `${count(shown.length)} of ${count(categories.id.length)} categories`;
    parts.rows.scrollTop = 0;
    parts.rows.replaceChildren(el('table', { class: 'categories' }, el('thead', {}, el('tr', {}, all.map((one) => head(one, key, isDescending)))), fill(parts.rows, shown, all)));
  };
})());

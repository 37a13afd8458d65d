// The categories at both ends, with their most confident false positives and their misses.
drawLazily('examples', ['examples'], () => {
  const lists = report.examples;
  if (!lists.length) {
    body('examples').replaceChildren(el('p', { class: 'note' }, 'No category has annotations to be scored against.'));
    return;
  }
  const kind = State.pick('examples', lists.map((list) => list.kind), lists[0].kind);
  const list = lists.find((candidate) => candidate.kind === kind);

  function crops(title, found, none) {
    const items = found.crops.map((crop) => {
      const image = el('img', { src: crop.picture, alt: crop.alt, width: 168, height: 168, loading: 'lazy', decoding: 'async' });
      return el('li', {}, el('figure', {}, image, el('figcaption', {}, crop.score === null ? null : el('b', {}, `${percent(crop.score, 1)} % `), crop.words, el('br'), `image ${crop.image}`)));
    });
    return [
      el('h5', {}, items.length ? `${title}: ${items.length} of ${count(found.total)}` : none),
      el('ul', { class: 'crops' }, items),
    ];
  }

  function side(entry, run) {
    return el(
      'div',
      {},
      runs.length > 1 ? el('h4', {}, swatch(runColour(run)), runs[run].name) : null,
      crops('Most confident false positives', entry.false_positives, 'No false positive'),
      crops('Missed annotations, largest first', entry.misses, 'No missed annotation'),
    );
  }

  function card(k, position) {
    const scores = runs.map((run) => `${runs.length > 1 ? `${run.name} ` : ''}${percent(run.columns[report.measures[0].key][k])}`);
    const node = el(
      'details',
      { class: 'card', 'data-id': categories.id[k] },
      el('summary', {}, el('h3', {}, categories.name[k]), groupBadge(categories.group[k]), el('span', {}, `${report.measures[0].label}: ${scores.join(' · ')}`),
        el('span', { class: 'note' }, `id ${categories.id[k]} · ${categories.train[k] === null ? '' : `${count(categories.train[k])} training, `}${count(categories.annotations[k])} evaluated instances`)),
    );
    const fill = () => node.querySelector('.sides') || node.append(el('div', { class: 'sides' }, report.gallery[k].map(side)));
    node.addEventListener('toggle', () => node.open && fill());
    if (position < 3) {
      fill();
      node.open = true;
    }
    return node;
  }

  body('examples').replaceChildren(
    el('div', { class: 'tools', role: 'group', 'aria-label': 'Which categories' },
      lists.map((other) => el('button', { 'aria-pressed': String(other.kind === kind), onclick: () => State.set({ examples: other.kind }) }, other.title))),
    el('ul', { class: 'legend' },
      [['#ff8c1a', 'detection'], ['#00c2ff', 'annotation']].map(([colour, name]) => el('li', {}, swatch(colour), name))),
    ...list.categories.map(card),
  );
});

// What the reader has chosen lives in the address (#sort=name&search=cat), so that a view can be
// shared; sections listen for the keys they depend on.
const State = (() => {
  const listeners = [];
  let values = read();

  function read() {
    const chosen = new URLSearchParams(location.hash.slice(1));
    const first = [...chosen.entries()][0];
    if (first && first[1] === '' && document.getElementById(first[0])) {
      chosen.delete(first[0]);
      chosen.set('section', first[0]); // a plain anchor such as #tail
    }
    return chosen;
  }

  function tell(keys) {
    for (const [wanted, callback] of listeners) {
      if (wanted.some((key) => keys.has(key))) callback();
    }
  }

  window.addEventListener('hashchange', () => {
    const before = values;
    values = read();
    const keys = new Set([...before.keys(), ...values.keys()]);
    tell(new Set([...keys].filter((key) => before.get(key) !== values.get(key))));
  });

  return {
    get(key, otherwise) {
      return values.get(key) ?? otherwise;
    },
    // The value if it is one of the options, else the default: addresses are typed by hand, too.
    pick(key, options, otherwise) {
      const value = values.get(key);
      return options.map(String).includes(value) ? value : String(otherwise);
    },
    list(key) {
      return (values.get(key) ?? '').split(',').filter(Boolean);
    },
    set(changes) {
      for (const [key, value] of Object.entries(changes)) {
        if (value === null) values.delete(key);
        else values.set(key, value);
      }
      history.replaceState(null, '', `#${values.toString()}`);
      tell(new Set(Object.keys(changes)));
    },
    listen(keys, callback) {
      listeners.push([keys, callback]);
    },
  };
})();

// Draws a section once it comes near the window, and again when the state it depends on changes.
function drawLazily(section, keys, draw) {
  const node = document.getElementById(section);
  let drawn = false;
  const show = () => {
    if (drawn) return;
    drawn = true;
    draw();
  };
  const watcher = new IntersectionObserver(
    (entries) => {
      if (entries.some((entry) => entry.isIntersecting)) {
        watcher.disconnect();
        show();
      }
    },
    { rootMargin: '400px' },
  );
  watcher.observe(node);
  window.addEventListener('beforeprint', show);
  State.listen(keys, () => drawn && draw());
}

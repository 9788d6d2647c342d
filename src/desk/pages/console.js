// Keeps the inbox, an open conversation, a mass mail and the like up to date, and keeps what is being typed. Without
// this file the pages have a link that loads them anew, and everything works.
'use strict';
(() => {
  const live = document.getElementById('live');
  if (!live?.dataset.source || !window.EventSource || !window.fetch) return;
  const box = document.getElementById('answer');
  const form = box && box.form;
  const SILENT_MS = 35_000;
  const ANSWER_MS = 8_000;
  // 25 MB, the most that one answer carries, over a line of 2 Mbit/s.
  const FILES_MS = 120_000;
  let heard = Date.now();
  let source;
  let reading = false;
  // What was begun on the page before this one came along.
  let typed = [...document.querySelectorAll('main textarea')].some((it) => it.value !== it.defaultValue);
  let again = false;

  // Reads the page anew and takes over the part that changes. What is typed stands outside of it.
  async function refresh() {
    if (reading) { again = true; return; }
    reading = true;
    try {
      // A page that is dear to make has a cheaper one with the same part.
      const answer = await fetch(live.dataset.page || location.pathname + location.search, { signal: AbortSignal.timeout(ANSWER_MS) });
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      const newer = page.getElementById('live');
      // Other forms belong to the page now; but what is being typed is not thrown away.
      if (answer.ok && newer && newer.dataset.state !== live.dataset.state && !typed) { location.reload(); return; }
      if (answer.ok && newer && !live.contains(document.activeElement)) live.replaceChildren(...newer.childNodes);
      if (answer.ok && newer) live.dataset.every = newer.dataset.every || '';
      // What stands above every page: what rang, and what is about to leave.
      const rings = page.getElementById('rings');
      if (answer.ok && rings) document.getElementById('rings')?.replaceChildren(...rings.childNodes);
    } catch { /* the stream tells when the server is there again */ }
    reading = false;
    if (again) { again = false; refresh(); }
  }

  function listen() {
    source?.close();
    heard = Date.now();
    source = new EventSource(live.dataset.source);
    source.onopen = () => { heard = Date.now(); lost(false); };
    source.onmessage = () => { heard = Date.now(); refresh(); };
    source.addEventListener('beat', () => { heard = Date.now(); });
    source.onerror = () => {
      const broken = source;
      // Most breaks are over in a moment; only a longer one is worth a word.
      setTimeout(() => { if (source === broken && broken.readyState !== 1) lost(true); }, 2_500);
      if (broken.readyState === 2) setTimeout(() => { if (source === broken) listen(); }, 1_000 + Math.random() * 2_000);
    };
  }

  // Puts another version of the page in the place of this one, with its forms. What is begun in the other forms, such
  // as a note, goes along.
  function take(page) {
    const main = page.querySelector('main');
    for (const begun of document.querySelectorAll('main textarea[id]')) {
      const there = page.getElementById(begun.id);
      if (there && begun !== box && begun.value !== begun.defaultValue) there.value = begun.value;
    }
    // A script that came with a parsed page is not run; one that is made here is.
    const script = document.createElement('script');
    script.src = main.querySelector('script[src]').src;
    source?.close();
    document.querySelector('main').replaceWith(main);
    main.append(script);
  }

  // The way to another server, with what was typed. It travels behind the #, which is sent to nobody.
  function lost(is) {
    const notice = document.getElementById('lost');
    if (!notice) return;
    notice.hidden = !is;
    for (const link of notice.querySelectorAll('a')) {
      const typed = new URLSearchParams({ text: box ? box.value : '', once: form ? form.elements.once.value : '' });
      link.href = link.dataset.to + (box ? `#${typed}` : '');
    }
  }

  if (box) {
    const moved = new URLSearchParams(location.hash.slice(1));
    if (moved.get('text')) {
      box.value = moved.get('text');
      form.elements.once.value = moved.get('once');
      history.replaceState(null, '', location.pathname);
    }
    let told = 0;
    box.addEventListener('input', () => {
      if (!document.getElementById('lost').hidden) lost(true);
      if (Date.now() - told < 45_000) return;
      told = Date.now();
      fetch(live.dataset.writing, { method: 'POST', body: new URLSearchParams({ form: form.elements.form.value }) }).catch(() => {});
    });
    // While an answer is on its way its words stand still: what was changed now, or sent once more under the same key,
    // would be gone when the page of this answer arrives.
    const onItsWay = (is) => {
      box.readOnly = is;
      for (const button of form.querySelectorAll('button')) button.disabled = is;
      form.setAttribute('aria-busy', is);
    };
    // A server that does not answer must not take the page away with what was typed.
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      // Files travel only in this form of a form.
      const body = new FormData(form);
      body.set('do', event.submitter?.value || 'send');
      const patience = form.elements.file?.files.length ? FILES_MS : ANSWER_MS;
      onItsWay(true);
      // The same key each time: however often it arrives, at whichever server of this name, it is one answer.
      for (const wait of [0, 1_000, 2_000]) {
        await new Promise((done) => setTimeout(done, wait));
        try {
          const answer = await fetch(form.action, { method: 'POST', body, signal: AbortSignal.timeout(patience) });
          return take(new DOMParser().parseFromString(await answer.text(), 'text/html'));
        } catch { /* again, or elsewhere */ }
      }
      onItsWay(false);
      lost(true);
    });
  }
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden && Date.now() - heard > 20_000) { listen(); refresh(); }
  });
  document.querySelector('main').addEventListener('input', () => { typed = true; });
  // What changes with the time alone, such as a countdown.
  const ticks = setInterval(() => {
    if (!document.contains(live)) { clearInterval(ticks); return; }
    if (live.dataset.every && !document.hidden) refresh();
  }, 1_000);
  const watch = setInterval(() => {
    if (!document.contains(live)) { clearInterval(watch); source?.close(); return; }
    if (Date.now() - heard > SILENT_MS) { lost(true); listen(); refresh(); }
  }, 5_000);
  listen();
})();

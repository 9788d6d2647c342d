// The conversation page as a chat. Without this file the page is a form and a list, and everything works.
//
// What is sent keeps an id made here and is repeated, to this server or another, until a majority of them has it; until
// then it also lies in this browser. What comes is a stream of events; it goes on at any server from the place where it
// broke off. A line that has gone silent is noticed here, because browsers do not notice.
'use strict';
(() => {
  const chat = document.getElementById('chat');
  if (!chat || !window.EventSource || !window.AbortSignal || !AbortSignal.timeout || !window.crypto || !crypto.subtle) return;
  const { path, link, lang } = chat.dataset;
  const words = JSON.parse(chat.dataset.words);
  const list = chat.querySelector('ol');
  const form = document.getElementById('more-form');
  const box = document.getElementById('text');
  const by = (id) => document.getElementById(id);
  // This server first; the others are those that the foot of the page names.
  const hosts = ['', ...chat.dataset.hosts.split(' ').filter((it) => it && it !== location.host).map((it) => `https://${it}`)];
  const SILENT_MS = 35_000;
  const ANSWER_MS = 8_000;
  const title = document.title;
  let host = 0;
  let place = chat.dataset.place;
  let source;
  let heard = Date.now();
  let failures = 0;
  let silent = 0;
  let unread = 0;
  let later;
  let moving = false;

  // Under a name that was lent to us nothing may outlive the tab.
  let store = { getItem: () => null, setItem() {}, removeItem() {} };
  try {
    store = chat.dataset.keep === 'tab' ? sessionStorage : localStorage;
  } catch { /* the browser keeps nothing: then only this page does */ }
  const keep = (name, value) => {
    try {
      if (value) store.setItem(name + link, value);
      else store.removeItem(name + link);
    } catch { /* full or forbidden */ }
  };
  let mine = [];
  try {
    mine = JSON.parse(store.getItem(`unsent ${link}`)) || [];
  } catch { /* not ours */ }
  // What carries files is not kept beyond the page, as browsers do not keep files: its words stay a draft until it is there.
  const keepMine = () => {
    const words = mine.filter((it) => !it.files);
    keep('unsent ', words.length ? JSON.stringify(words.map(({ id, key, text, time }) => ({ id, key, text, time }))) : '');
    keep('draft ', box.value || mine.find((it) => it.files)?.text);
  };

  // A message in the list.
  const find = (key) => [...list.children].find((it) => it.dataset.k === key);
  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    element.textContent = text;
    return element;
  };
  function draw({ key, index, ours, time, clock, state, text, files = [] }) {
    const item = document.createElement('li');
    item.dataset.k = key;
    if (index) item.dataset.i = index;
    if (ours) item.className = 'us';
    const when = make('time', '', clock);
    when.dateTime = time;
    const small = make('span', 'q', '');
    small.append(when, make('span', 'state', state ? ` · ${state}` : ''));
    const head = make('p', '', '');
    head.append(make('b', '', ours ? words.us : words.you), ' ', small);
    item.append(head, make('p', 't', text));
    for (const [name, href] of files) {
      const line = make('p', 'links', '');
      const file = make(href ? 'a' : 's', '', name);
      if (href) file.href = href;
      line.append(file);
      item.append(line);
    }
    return item;
  }
  const mark = (key, state) => {
    const line = find(key)?.querySelector('.state');
    if (line && state) line.textContent = ` · ${state}`;
  };
  const drawMine = (it) => {
    const clock = new Date(it.time).toLocaleTimeString(lang, { hour: 'numeric', minute: '2-digit' });
    list.append(draw({ key: it.key, time: new Date(it.time).toISOString(), clock, state: words.unsent, text: it.text, files: it.files?.map((file) => [file.name]) }));
  };
  const tell = (text) => { if (by('line').textContent !== text) by('line').textContent = text; };

  // Takes in what is new. Agreed messages stand in the order agreed on; what is on its way stands below them.
  function take(news) {
    place = news.at;
    if (news.anew) list.replaceChildren(...[...list.children].filter((it) => mine.some((own) => own.key === it.dataset.k)));
    const known = new Set(news.held.map((it) => it.key));
    for (const it of [...list.children]) {
      const ours = mine.some((own) => own.key === it.dataset.k);
      if (!it.dataset.i && !known.has(it.dataset.k) && !ours) it.remove();
    }
    for (const it of news.new) {
      const old = find(it.key);
      if (old?.dataset.i) continue;
      old?.remove();
      list.insertBefore(draw(it), [...list.children].find((other) => !other.dataset.i) || null);
      if (it.ours && document.hidden) unread += 1;
      mine = mine.filter((own) => own.key !== it.key);
    }
    for (const it of news.held) {
      if (find(it.key)) mark(it.key, it.state);
      else list.append(draw({ ...it, index: 0 }));
    }
    for (const [key, state] of Object.entries(news.states)) mark(key, state);
    keepMine();
    by('kept').textContent = news.heading;
    by('kept-more').textContent = news.more || '';
    by('kept-box').classList.toggle('h', news.is_held);
    by('wait').textContent = news.wait;
    by('none').hidden = news.answered;
    by('closed').hidden = !news.closed;
    document.title = unread ? `(${unread}) ${title}` : title;
    live();
  }

  function live() {
    heard = Date.now();
    failures = 0;
    tell(mine.some((it) => it.held === undefined) ? words.sending : words.live);
    by('reload').hidden = true;
  }

  function again() {
    moving = false;
    heard = Date.now();
    listen();
    send();
  }

  // Goes on at the next server, sooner at first and with a wait that no two browsers have alike.
  function elsewhere() {
    if (moving) return;
    moving = true;
    source?.close();
    clearTimeout(later);
    host = (host + 1) % hosts.length;
    heard = Date.now();
    later = setTimeout(again, Math.min(30_000, 200 * 2 ** failures) * (0.5 + Math.random() / 2));
    failures += 1;
    if (failures > hosts.length) tell(words.lost);
  }

  const address = (more) => `${hosts[host]}${path}${path.includes('?') ? '&' : '?'}after=${encodeURIComponent(place)}${more}`;

  function listen() {
    clearTimeout(later);
    source?.close();
    // Two streams that opened and carried nothing: something on the way collects them. Then it is asked again and again.
    if (silent >= 2) return void ask('&wait');
    const here = new EventSource(address(''));
    source = here;
    const current = (work) => (event) => { if (source === here) work(event); };
    here.onmessage = current((event) => { silent = 0; take(JSON.parse(event.data)); });
    here.addEventListener('beat', current(() => { silent = 0; live(); }));
    here.addEventListener('bye', current(elsewhere));
    here.addEventListener('full', current(() => { here.close(); source = undefined; later = setTimeout(() => ask(''), 20_000); }));
    here.onerror = current(elsewhere);
  }

  async function ask(more) {
    try {
      const answer = await fetch(address(more), { headers: { accept: 'application/json' }, signal: AbortSignal.timeout(SILENT_MS), credentials: 'omit' });
      if (!answer.ok) throw new Error(answer.status);
      if (answer.status === 200) take(await answer.json());
      later = setTimeout(more || Math.random() < 0.1 ? listen : () => ask(''), more ? 100 : 20_000);
    } catch {
      elsewhere();
    }
  }

  // Sends the oldest that this server has not taken yet, one at a time, so that they arrive in order.
  let sending = false;
  async function send() {
    const next = mine.find((it) => it.held !== host);
    if (sending || !next) return;
    sending = true;
    let pause = 0;
    try {
      const body = next.files ? new FormData() : new URLSearchParams();
      for (const [name, value] of [['id', next.id], ['text', next.text], ['lang', lang], ...(next.files || []).map((it) => ['file', it])]) body.append(name, value);
      const answer = await fetch(hosts[host] + path, {
        method: 'POST', headers: { accept: 'application/json' }, body,
        signal: AbortSignal.timeout(next.files ? 300_000 : ANSWER_MS), credentials: 'omit',
      });
      const said = answer.status === 413 ? { why: await answer.text() } : await answer.json();
      if (answer.ok) {
        if (said.kept === 'agreed') mine = mine.filter((it) => it !== next);
        else next.held = host;
        mark(next.key, said.state);
        keepMine();
        live();
      } else if (said.wait) {
        mark(next.key, said.why);
        pause = said.wait * 1_000;
      } else {
        // As it is nobody will take it: it goes back to whoever wrote it.
        mine = mine.filter((it) => it !== next);
        keepMine();
        find(next.key)?.remove();
        box.value = [next.text, box.value].filter(Boolean).join('\n');
        tell(said.why);
      }
    } catch {
      mark(next.key, words.unsent);
      sending = false;
      return elsewhere();
    }
    sending = false;
    setTimeout(send, pause);
  }

  async function idOf(made) {
    const text = new TextEncoder().encode(`lifeboat message 1\0${link}\0${made}`);
    const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', text));
    return [...hash.slice(0, 16)].map((it) => it.toString(16).padStart(2, '0')).join('');
  }

  form.addEventListener('submit', async (event) => {
    const files = [...form.file.files];
    // More than any server reads is the form's to send: it would be repeated for ever here.
    if (files.reduce((sum, it) => sum + it.size, 0) > 60e6) return;
    event.preventDefault();
    const text = box.value.trim();
    if (!text) return;
    const id = [...crypto.getRandomValues(new Uint8Array(16))].map((it) => it.toString(16).padStart(2, '0')).join('');
    box.value = '';
    form.file.value = '';
    const it = { id, text, time: Date.now(), key: await idOf(id), files: files.length ? files : undefined };
    mine.push(it);
    keepMine();
    drawMine(it);
    mark(it.key, words.sending);
    box.focus();
    send();
  });
  box.addEventListener('input', () => keep('draft ', box.value));
  box.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  box.value ||= store.getItem(`draft ${link}`) || '';

  mine = mine.filter((it) => !find(it.key)?.dataset.i);
  keepMine();
  for (const it of mine) if (!find(it.key)) drawMine(it);
  // Phones close a line that is out of sight and tell nobody.
  const back = () => {
    if (document.hidden) return;
    unread = 0;
    document.title = title;
    if (Date.now() - heard > 20_000) again();
  };
  document.addEventListener('visibilitychange', back);
  addEventListener('pageshow', back);
  addEventListener('online', again);
  setInterval(() => {
    if (Date.now() - heard < SILENT_MS) return;
    silent += 1;
    elsewhere();
  }, 5_000);
  listen();
  send();
})();

// The shift leader's night on a phone: an alert becomes an incident, those affected are mailed from the draft to the
// report, names are switched and taken back. Real nodes, a real mailbox and real name servers; with and without
// JavaScript. Needs the demo's nodes; makes its own operators, as a code is good once.
'use strict';
const assert = require('node:assert/strict');
const dns = require('node:dns').promises;
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { code, looksRight } = require('./console.cjs');
const { until } = require('./gateway.cjs');

const SEEN_MS = 20_000;
const SENT_MS = 120_000;
// More than one person alone may mail to.
const CUSTOMERS = 130;
const PHONE = { viewport: { width: 360, height: 740 }, ignoreHTTPSErrors: true, locale: 'en-GB' };

async function night(checks, browser, gateway, pictures) {
  const { nodes } = gateway;
  const lifeboat = (...words) => {
    const program = process.env.LIFEBOAT || path.resolve('target/debug/lifeboat');
    return JSON.parse(execFileSync(program, [...words, '--json', '--config', nodes[0].config]));
  };
  const somebody = (name, role) => ({ name, ...lifeboat('people', 'add', name, '--role', role) });
  const [leader, second, watcher] = [somebody('night-leader', 'shift-leader'), somebody('night-second', 'shift-leader'), somebody('night-watch', 'viewer')];
  const story = { nodes, lifeboat, browser, pages: {} };
  await checks.check('night: the customers are taken in and an alert of a machine waits for somebody', () => prepares(story));
  let phone;
  await checks.check('night on a phone, without JavaScript: the alert on the first page becomes an incident in edited words', async () => {
    phone = await enters(story, leader, nodes[0], false);
    await alert(story, phone);
  });
  await checks.check('night on a phone, without JavaScript: those affected are mailed, from the incident to the report, agreed to by a second person', async () => {
    const other = await enters(story, second, nodes[1], false);
    await mail(story, phone, other);
    await other.context().close();
  });
  await checks.check('night with JavaScript: a mail by one person alone counts down before everybody\'s eyes and a viewer stops it', async () => {
    const state = await phone.context().storageState();
    const alone = await (await browser.newContext({ ...PHONE, storageState: state })).newPage();
    const viewer = await enters(story, watcher, nodes[2], true);
    await countdown(story, alone, viewer);
    await alone.context().close();
    await viewer.context().close();
  });
  await checks.check('night on a phone, without JavaScript: the plan of a switch is seen, name servers answer the fallback, and it is taken back', () =>
    switches(story, phone));
  const state = await phone.context().storageState();
  for (const lang of ['cs', 'en']) {
    for (const [name, where] of Object.entries(story.pages)) {
      await checks.check(`night ${lang}, ${name}: axe finds nothing, 320 px suffice, targets are large, by day and by night`, () =>
        looksRight(browser, nodes, { lang, name: `night-${name}`, where, state, pictures }));
    }
  }
  await phone.context().close();
}

async function enters({ browser }, operator, node, javaScriptEnabled) {
  const page = await (await browser.newContext({ ...PHONE, javaScriptEnabled })).newPage();
  await page.goto(`${node.console}/sign-in`);
  await page.locator('#name').fill(operator.name);
  await page.locator('#password').fill(operator.password);
  await page.locator('#code').fill(code(operator.totp_secret));
  await page.locator('main form button').click();
  await page.getByRole('heading', { name: 'What is happening' }).waitFor();
  return page;
}

async function prepares(story) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lifeboat-night-'));
  const file = path.join(folder, 'customers.csv');
  let csv = 'customer;name;email;language;server;datacentre;product;domain\n';
  for (let number = 1; number <= CUSTOMERS; number += 1) {
    const who = `${number};Customer ${number};night${number}@mail.example;${number % 3 ? 'cs' : 'en'}`;
    csv += `${who};web${number % 7};praha;hosting;shop${number}.example\n`;
    if (number % 5 === 0) csv += `${who};vps${number};praha;vps;vps${number}.example\n`;
  }
  csv += '9000;Elsewhere;elsewhere@mail.example;en;web1;brno;hosting;elsewhere.example\n';
  fs.writeFileSync(file, csv);
  story.lifeboat('directory', 'import', file);
  const rule = path.join(folder, 'vps.json');
  fs.writeFileSync(rule, JSON.stringify({
    publish: true, labels: { alertname: 'VpsDown' }, place: { label: 'instance' },
    titles: { cs: 'Server {place} se restartoval', en: 'The server {place} restarted' },
    texts: { cs: 'Server {place} neodpovídá.', en: 'The server {place} does not answer.' },
    over: { cs: 'Server {place} zase běží.', en: 'The server {place} works again.' },
  }));
  story.lifeboat('rules', 'set', 'vps', rule);
  story.lifeboat('rules', 'on');
  fs.rmSync(folder, { recursive: true });
  const token = story.lifeboat('people', 'token', 'create', 'siren', '--role', 'monitor').token;
  const body = JSON.stringify({ key: 'praha', status: 'firing', title: 'Prague: no power', text: 'UPS 2 is empty', labels: { severity: 'major' } });
  const context = await story.browser.newContext({ ignoreHTTPSErrors: true });
  // The second stays, so that its page with its forms is looked at.
  for (const data of [body, body.replace('praha', 'brno').replace('Prague: no power', 'Brno: router 2 does not answer')]) {
    const told = await context.request.post(`${story.nodes[2].console}/api/v1/alerts/plain`, {
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, data,
    });
    assert.equal(told.status(), 200, await told.text());
  }
  await context.close();
}

async function alert(story, page) {
  await until('the first page shows the alert', SEEN_MS, async () => {
    await page.goto(`${story.nodes[0].console}/`);
    return page.getByRole('link', { name: 'Prague: no power' }).count();
  });
  for (const act of ['Say something', 'Answer people', 'Wake somebody', 'Switch to the fallback', 'Mail many']) {
    assert.equal(await page.locator('.acts').getByRole('link', { name: act }).count(), 1, act);
  }
  story.pages.overview = '/';
  story.pages.alerts = '/alerts';
  await page.getByRole('link', { name: 'Prague: no power' }).click();
  const where = new URL(page.url()).pathname;
  await page.locator('#title-cs').fill('Praha bez proudu');
  await page.locator('#text-cs').fill('');
  await page.locator('#text-en').fill('');
  await page.getByRole('button', { name: 'Tell customers' }).click();
  assert.ok((await page.locator('.wrong[role=alert]').innerText()).includes('texts'), 'nothing said is refused');
  assert.equal(await page.locator('#title-cs').inputValue(), 'Praha bez proudu', 'what was typed is lost');
  await page.locator('#text-cs').fill('Startujeme generátor.');
  await page.locator('#text-en').fill('We start the generator.');
  await page.getByRole('button', { name: 'Tell customers' }).click();
  await page.getByRole('heading', { name: 'Prague: no power' }).waitFor();
  story.incident = new URL(page.url()).pathname;
  await page.goto(`${story.nodes[1].console}${where}`);
  assert.ok((await page.locator('main').innerText()).includes('an incident, said night-leader'));
  await page.goto(`${story.nodes[1].console}/alerts`);
  assert.ok((await page.locator('section[aria-labelledby=rules]').innerText()).includes('vps: tells customers, 0 of 3'));
  await page.getByRole('link', { name: 'Brno: router 2 does not answer' }).click();
  story.pages.alert = new URL(page.url()).pathname;
}

async function mail(story, page, other) {
  await page.goto(`${story.nodes[0].console}${story.incident}`);
  await page.locator('#audience').fill('datacentre=praha');
  await page.getByRole('button', { name: 'Say whom it touches' }).click();
  await page.getByRole('link', { name: 'Who was affected' }).click();
  const affected = await page.locator('main').innerText();
  assert.ok(affected.includes(`${CUSTOMERS} customers`) && affected.includes('Computed from version d'), affected);
  assert.ok(await page.getByRole('link', { name: 'All of them as CSV' }).count());
  story.pages.affected = new URL(page.url()).pathname;
  await page.goto(`${story.nodes[0].console}${story.incident}`);
  await page.getByRole('link', { name: 'Mail those affected' }).click();
  story.pages.draft = new URL(page.url()).pathname + new URL(page.url()).search;
  assert.equal(await page.locator('#subject-cs').inputValue(), 'Praha bez proudu');
  assert.ok((await page.locator('#text-cs').inputValue()).includes('Startujeme generátor.'));
  await page.getByRole('button', { name: 'How many is that?' }).click();
  const counted = await page.locator('.seen[role=status]').innerText();
  assert.ok(counted.includes(`${CUSTOMERS} customers are meant.`) && counted.includes('night'), counted);
  // Two mistakes: one that can be seen at once, and one that only somebody's mail shows.
  const text = await page.locator('#text-en').inputValue();
  await page.locator('#subject-cs').fill('');
  await page.locator('#text-en').fill(`${text}{{ contract }}`);
  await page.locator('[name=do][value=draft]').click();
  assert.ok((await page.locator('.wrong[role=alert]').innerText()).includes('cs.subject'));
  assert.ok((await page.locator('#text-en').inputValue()).endsWith('{{ contract }}'), 'what was typed is lost');
  await page.locator('#subject-cs').fill('Praha bez proudu');
  await page.locator('[name=do][value=draft]').click();
  const wrong = await page.locator('section[aria-labelledby=check] .wrong').innerText();
  assert.ok(wrong.includes('3 (line') && wrong.includes('en.txt'), wrong);
  assert.equal(await page.getByRole('button', { name: 'Ask for approval' }).count(), 0);
  const where = new URL(page.url()).pathname;
  await page.getByRole('link', { name: 'Change it' }).click();
  await page.locator('#text-en').fill(text);
  await page.locator('#at-once, [name=at-once]').check();
  await page.locator('[name=do][value=draft]').click();
  const seen = await page.locator('main').innerText();
  for (const part of ['Nothing is wrong.', 'several services', 'Praha bez proudu', 'We start the generator.', 'We write again by']) {
    assert.ok(seen.includes(part), `${part} is not in ${seen}`);
  }
  await page.locator('#find').fill('night17@mail.example');
  await page.getByRole('button', { name: 'Show' }).click();
  assert.ok((await page.locator('.told').first().innerText()).includes('night17@mail.example'));
  await page.getByLabel('Send the first of these as a test to').selectOption('');
  await page.getByRole('button', { name: 'Send a test' }).click();
  assert.ok((await page.locator('.seen[role=status]').innerText()).includes('A relay took the test'));
  await page.goto(`${story.nodes[0].console}${where}`);
  await page.getByRole('button', { name: 'Ask for approval' }).click();
  // Somebody else agrees, on another server, to exactly this number.
  await until('more than half have the list', SEEN_MS, async () => {
    await other.goto(`${story.nodes[1].console}${where}`);
    return (await other.locator('main').innerText()).match(/[23] of 3 servers have the list/);
  });
  await other.locator('#count').fill(String(CUSTOMERS - 1));
  await other.getByRole('button', { name: 'Send', exact: true }).click();
  assert.ok((await other.locator('.wrong[role=alert]').innerText()).includes('count'));
  assert.equal(await other.locator('#count').inputValue(), String(CUSTOMERS - 1), 'what was typed is lost');
  await other.locator('#count').fill(String(CUSTOMERS));
  await other.getByRole('button', { name: 'Send', exact: true }).click();
  await until('everybody has an outcome', SENT_MS, async () => {
    await page.goto(`${story.nodes[2].console}${where}`);
    return (await page.locator('#live').innerText()).startsWith('Done');
  });
  assert.ok((await page.locator('#live').innerText()).match(new RegExp(`delivered\\s+${CUSTOMERS}`)), await page.locator('#live').innerText());
  story.pages.sent = where;
  await page.getByRole('link', { name: 'Search the report' }).click();
  story.pages.report = new URL(page.url()).pathname;
  await page.locator('#q').fill('night17@');
  await page.getByRole('button', { name: 'Search' }).click();
  const rows = page.locator('main .rows li');
  assert.equal(await rows.count(), 1);
  assert.ok((await rows.innerText()).includes('delivered'), await rows.innerText());
  const csv = await page.context().request.get(`${story.nodes[1].console}${where}/report.csv`);
  assert.equal((await csv.text()).split('"delivered"').length - 1 || (await csv.text()).split(',delivered,').length - 1, CUSTOMERS);
  await page.goto(`${story.nodes[2].console}${where}`);
  await page.getByRole('link', { name: 'Correct it for those who got it' }).click();
  assert.equal(await page.locator('#subject-cs').inputValue(), 'Oprava: Praha bez proudu');
  await page.locator('[name=do][value=draft]').click();
  assert.equal(await page.locator('section[aria-labelledby=check] .big').innerText(), String(CUSTOMERS));
  story.pages.checked = new URL(page.url()).pathname;
  // Others stay at other stages, so that their pages are looked at: one with a mistake, one that waits for an approval.
  await page.goto(`${story.nodes[0].console}/mail/new?resend=${where.split('/').pop()}`);
  await page.getByLabel('Everybody').check();
  await page.locator('#text-en').fill('Contract {{ contract }}');
  await page.locator('[name=do][value=draft]').click();
  story.pages.wrong = new URL(page.url()).pathname;
  await page.goto(`${story.nodes[0].console}${story.pages.draft}`);
  await page.locator('[name=do][value=draft]').click();
  await page.getByRole('button', { name: 'Ask for approval' }).click();
  story.pages.asked = new URL(page.url()).pathname;
}

async function countdown(story, page, viewer) {
  await page.goto(`${story.nodes[0].console}/mail/new`);
  await page.getByLabel('Everybody').check();
  await page.locator('#name').fill('All clear');
  await page.locator('#subject-en').fill('All clear');
  await page.locator('#text-en').fill('Everything works again.\n{{ company }}');
  await page.locator('[name=do][value=draft]').click();
  await page.getByRole('button', { name: 'Ask for approval' }).click();
  const where = new URL(page.url()).pathname;
  // The page tells by itself when it can be agreed to.
  await until('the page says that all have the list', SEEN_MS, async () => (await page.locator('#live').innerText()).match(/[23] of 3 servers/));
  await viewer.goto(`${story.nodes[2].console}${where}`);
  await page.locator('#count').fill(String(CUSTOMERS + 1));
  await page.locator('#why').fill('nobody else is awake');
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  const seconds = async (on) => Number((await on.locator('#live').innerText()).match(/Begins in (\d+) s/)?.[1]);
  // An open page of somebody else begins to count without being loaded anew.
  await until('the viewer sees the countdown', SEEN_MS, () => seconds(viewer));
  const first = await seconds(viewer);
  await until('it counts down', SEEN_MS, async () => (await seconds(viewer)) <= first - 2);
  assert.ok((await viewer.locator('.ring', { hasText: 'night-leader alone mails' }).count()) > 0, 'an open page shows it');
  await viewer.locator('#reason').fill('it is a drill');
  await viewer.getByRole('button', { name: 'Stop for good' }).click();
  await until('the open page of the leader says that it was stopped', SEEN_MS, async () => (await page.locator('#live').innerText()).startsWith('Cancelled'));
}

async function switches(story, page) {
  const answers = async () => {
    const all = await Promise.all(story.nodes.map(async (node) => {
      const resolver = new dns.Resolver();
      resolver.setServers([node.dns]);
      return (await resolver.resolve4('www.example.test')).join();
    }));
    return [...new Set(all)].join(' ');
  };
  const before = await answers();
  await page.goto(`${story.nodes[0].console}/`);
  await page.locator('.acts').getByRole('link', { name: 'Switch to the fallback' }).click();
  story.pages.switching = '/switch';
  await page.getByRole('link', { name: 'www', exact: true }).click();
  story.pages.switch = '/switch/www';
  const seen = await page.locator('#live').innerText();
  assert.ok(seen.includes('works') && seen.includes('primary') && seen.includes('see it up'), seen);
  await page.getByRole('link', { name: 'Switch to it… fallback' }).click();
  story.pages.plan = '/switch/www?to=fallback';
  const plan = await page.locator('section[aria-labelledby=plan]').innerText();
  assert.ok(plan.includes(before) && plan.includes('198.51.100.1') && plan.includes('forgets the old answer at'), plan);
  await page.locator('#reason').fill('no power in Prague');
  await page.getByRole('button', { name: 'Switch to fallback' }).click();
  await until('every name server answers the fallback', SEEN_MS, async () => (await answers()) === '198.51.100.1');
  await page.goto(`${story.nodes[1].console}/switch/www`);
  assert.ok((await page.locator('#live').innerText()).includes('night-leader chose fallback'), await page.locator('#live').innerText());
  await page.getByRole('button', { name: 'Undo: answer primary again' }).click();
  await until('every name server answers what it did', SEEN_MS, async () => (await answers()) === before);
}

module.exports = { night };

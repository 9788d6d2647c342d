// A drill from the console: begun, worked through without JavaScript, marked wherever it shows, and nowhere among what is
// real. Needs the demo's nodes; makes its own operator, as a code is good once.
'use strict';
const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { code, looksRight } = require('./console.cjs');

const PHONE = { viewport: { width: 390, height: 800 }, ignoreHTTPSErrors: true, locale: 'en-GB', javaScriptEnabled: false };

async function drills(checks, browser, gateway, pictures) {
  const { nodes } = gateway;
  const lifeboat = (...words) => {
    const program = process.env.LIFEBOAT || path.resolve('target/debug/lifeboat');
    return JSON.parse(execFileSync(program, [...words, '--json', '--config', nodes[0].config]));
  };
  const leader = { name: 'drill-leader', ...lifeboat('people', 'add', 'drill-leader', '--role', 'shift-leader') };
  lifeboat('people', 'ways', 'drill-leader', 'mail:drill-leader@mail.example');
  const page = await enters(browser, leader, nodes[0]);
  const state = await page.context().storageState();
  const looks = async (name, where, on = nodes) => {
    for (const lang of ['cs', 'en']) {
      await checks.check(`drills ${lang}, ${name}: axe finds nothing, 320 px suffice, targets are large, by day and by night`, () =>
        looksRight(browser, on, { lang, name: `drills-${name}`, where, state, pictures }));
    }
  };
  await looks('none', '/exercise');
  let where;
  await checks.check('drills: one is begun on a phone, without JavaScript, and is an exercise in title, header and on every button', async () => {
    await page.goto(`${nodes[0].console}/`);
    await page.getByRole('link', { name: 'Exercise', exact: true }).click();
    await page.locator('#title').fill('No power');
    await page.locator('#task').fill('Prague has no power and nobody knows why');
    await page.getByLabel('drill-leader').check();
    await page.getByRole('button', { name: 'Begin or plan the exercise' }).click();
    where = new URL(page.url()).pathname;
    assert.ok((await page.title()).startsWith('EXERCISE'), await page.title());
    for (const button of await page.locator('.drill button:not(.plain)').allInnerTexts()) assert.ok(button.startsWith('EXERCISE'), button);
    assert.ok((await page.locator('link[rel=icon]').getAttribute('href')).includes('svg'));
    await page.goto(`${nodes[1].console}/`);
    assert.ok((await page.locator('.exercise').innerText()).includes('No power'));
  });
  await checks.check('drills: every step is done and timed, and the page of the exercise says what was said', async () => {
    await page.goto(`${nodes[0].console}${where}`);
    await page.getByRole('button', { name: 'I am at it' }).click();
    await page.locator('#text-en').fill('We look into it.');
    await page.locator('#text-cs').fill('Díváme se na to.');
    await page.getByRole('button', { name: "Put on the exercise's page" }).click();
    await page.locator('#answer').fill('It is us. We speak again at eight.');
    await page.getByRole('button', { name: 'Send the answer' }).click();
    await page.locator('#remark').fill('The phone list was out of date');
    await page.locator('section[aria-labelledby=remarks] button').click();
    await page.locator('#open').fill('Print the phone list anew');
    await page.locator('section[aria-labelledby=actions] > form button').click();
    const sheet = await page.locator('table').innerText();
    assert.equal(sheet.split('drill-leader').length - 1 >= 3, true, sheet);
    await page.goto(`${nodes[2].https.replace(/\/$/, "")}/exercise?lang=en`);
    const text = await page.locator('body').innerText();
    assert.ok(text.includes('EXERCISE') && text.includes('We look into it.'), text);
    assert.ok((await page.title()).startsWith('EXERCISE'), await page.title());
    await page.goto(`${nodes[2].https.replace(/\/$/, "")}/en/`);
    assert.ok(!(await page.locator('body').innerText()).includes('We look into it.'));
  });
  await looks('running', where);
  await looks('public', '/exercise', [{ console: nodes[1].https.replace(/\/$/, "") }]);
  await checks.check('drills: it is ended, and the score sheet stays', async () => {
    await page.goto(`${nodes[0].console}${where}`);
    await page.getByRole('button', { name: 'End the exercise' }).click();
    assert.ok((await page.locator('.drill').innerText()).includes('ended'));
    assert.equal(await page.locator('table tbody tr').count(), 4);
  });
  await looks('over', where);
  await looks('list', '/exercise');
  await playbooks(checks, { page, nodes, lifeboat, browser, looks, pictures });
  await page.context().close();
}

// The fullest that a playbook may be, in words of ordinary width.
function fullest() {
  const words = (bytes) => {
    let text = '';
    while (Buffer.byteLength(`${text}přepnout náhradní zdroj `) <= bytes) text += 'přepnout náhradní zdroj ';
    return `${text}${'i'.repeat(bytes - Buffer.byteLength(text))}`;
  };
  const step = (number) => ({ says: words(160), ...(number % 2 ? { wake: 'No power' } : {}) });
  return {
    title: words(60),
    expires: '2099-02-22',
    phones: Array.from({ length: 6 }, () => ({ who: words(40), number: '+420 000 000 000 / +420 000 000 000' })),
    envelopes: Array.from({ length: 4 }, () => words(40)),
    passages: Array.from({ length: 12 }, () => ({ title: words(60), steps: Array.from({ length: 8 }, (_, it) => step(it)) })),
  };
}

async function playbooks(checks, { page, nodes, lifeboat, browser, looks, pictures }) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lifeboat-playbook-'));
  const bring = (name, book) => {
    const file = path.join(folder, `${name}.json`);
    fs.writeFileSync(file, JSON.stringify(book));
    lifeboat('playbook', 'import', file);
  };
  bring('full', fullest());
  bring('dark', {
    title: 'Prague has no power',
    expires: '2027-02-22',
    phones: [{ who: 'Energy dispatcher', number: '+420 000 000 000' }],
    envelopes: ['Safe in Brno, shelf 2'],
    passages: [
      { title: 'First ten minutes', steps: [{ says: 'Call the dispatcher: for how long?' }, { says: 'Tell customers', publish: { titles: { en: 'Rehearsed only' }, texts: { en: 'We find out what has happened.' } } }] },
      { title: 'First hour', steps: [{ says: 'Read the fuel gauge of the generator' }] },
    ],
  });
  await checks.check('playbooks: the fullest one is printed on one A4 side for each passage, in both languages', async () => {
    for (const lang of ['cs', 'en']) {
      await page.goto(`${nodes[0].console}/language/${lang}?to=/playbooks`);
      await page.goto(`${nodes[0].console}/playbooks/full/print`);
      const pdf = await page.pdf({ preferCSSPageSize: true, printBackground: true });
      const sides = pdf.toString('latin1').match(/\/Type\s*\/Page[^s]/g).length;
      if (pictures) fs.writeFileSync(path.join(pictures, `playbook-full-${lang}.pdf`), pdf);
      assert.equal(sides, 12);
    }
    await page.goto(`${nodes[0].console}/playbooks/dark/print`);
    const text = await page.locator('body').innerText();
    for (const word of ['Call the dispatcher', '+420 000 000 000', 'shelf 2', '2027-02-22', ...nodes.map((it) => it.name)]) assert.ok(text.includes(word), `${word}: ${text}`);
    if (pictures) await page.screenshot({ path: path.join(pictures, 'playbook-paper.png'), fullPage: true });
  });
  await looks('playbooks', '/playbooks');
  let where;
  await checks.check('playbooks: one is played in a drill, and is an exercise on its page and nowhere else', async () => {
    lifeboat('drill', 'start', 'Again', '--task', 'Prague has no power', '--who', 'drill-leader');
    await page.goto(`${nodes[1].console}/playbooks`);
    await page.getByRole('button', { name: 'Start in the EXERCISE Prague has no power' }).click();
    where = new URL(page.url()).pathname;
    assert.ok((await page.title()).startsWith('EXERCISE'), await page.title());
    await page.getByRole('button', { name: 'Done 1' }).click();
    await page.getByRole('button', { name: 'Publish the incident 2' }).click();
    const text = await page.locator('main').innerText();
    assert.equal(text.split('by drill-leader').length - 1, 3, text);
    await page.goto(`${nodes[0].https.replace(/\/$/, '')}/en/`);
    assert.ok(!(await page.locator('body').innerText()).includes('Rehearsed only'));
  });
  await looks('play', where);
  lifeboat('drill', 'end');
  await checks.check('calendar: a test is put in, its result and what is to be mended are written down', async () => {
    await page.goto(`${nodes[0].console}/exercise`);
    await page.getByRole('link', { name: 'Calendar of emergency tests' }).click();
    await page.locator('#name').fill('generator');
    await page.locator('#title').fill('Generator under load');
    await page.locator('#days').fill('30');
    await page.getByRole('button', { name: 'Put it in' }).click();
    await page.locator('summary').first().click();
    await page.locator('#w-generator').fill('Ran for an hour, then the filter was full');
    await page.getByRole('button', { name: 'Failed Generator under load' }).click();
    await page.locator('summary').first().click();
    await page.locator('#o-generator').fill('Change the filter');
    await page.getByRole('button', { name: 'Note it Generator under load' }).click();
    const text = await page.locator('main').innerText();
    for (const word of ['Failed', 'filter was full', 'Change the filter', '0 of the last 1 worked']) assert.ok(text.includes(word), `${word}: ${text}`);
  });
  await looks('calendar', '/calendar');
  fs.rmSync(folder, { recursive: true });
}

async function enters(browser, operator, node) {
  const page = await (await browser.newContext(PHONE)).newPage();
  await page.goto(`${node.console}/sign-in`);
  await page.locator('#name').fill(operator.name);
  await page.locator('#password').fill(operator.password);
  await page.locator('#code').fill(code(operator.totp_secret));
  await page.locator('main form button').click();
  await page.getByRole('heading', { name: 'What is happening' }).waitFor();
  return page;
}

module.exports = { drills };

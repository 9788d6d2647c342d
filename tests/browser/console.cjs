// The operators' console in a real browser: signing in, every page on a phone and a desk, by day and by night, in both
// languages, with and without JavaScript; a break-glass code; a hand-over. Needs the demo's operators and its nodes.
'use strict';
const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const crypto = require('node:crypto');
const path = require('node:path');
const { judged } = require('./axe.cjs');
const { until } = require('./gateway.cjs');

const SEEN_MS = 10_000;
// Issue 4: a console page is under 100 kB.
const PAGE_BYTES_MAX = 100_000;
const PAGES = { overview: '/', wall: '/wall', ready: '/ready', incidents: '/incidents?scenario=power', maintenance: '/maintenance', mail: '/mail', nodes: '/nodes', wake: '/wake', people: '/people', person: '/people/agent', sessions: '/sessions', record: '/record', shift: '/shift' };

// The code that a phone shows, so many half minutes from now (RFC 6238).
function code(secret, later = 0) {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  let bits = '';
  for (const letter of secret) bits += letters.indexOf(letter).toString(2).padStart(5, '0');
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + later));
  const hash = crypto.createHmac('sha1', key).update(step).digest();
  const at = hash[19] & 15;
  return String((hash.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

async function console_(checks, browser, gateway, pictures) {
  const { nodes, operators } = gateway;
  const person = (name) => operators.find((it) => it.name === name);
  for (const javaScriptEnabled of [false, true]) {
    const how = javaScriptEnabled ? 'with JavaScript' : 'without JavaScript';
    const name = javaScriptEnabled ? 'admin' : 'shift-leader';
    await checks.check(`console ${how}: ${name} signs in on one node, is known on another, takes the shift over and leaves`, () =>
      shift(browser, nodes, person(name), javaScriptEnabled));
  }
  let incident;
  await checks.check('console on a phone, without JavaScript: what happens is said with six fields, seen before, put right and taken back', async () => {
    incident = await speaks(browser, nodes, person('shift-leader'));
  });
  await checks.check('console on a phone, without JavaScript: what goes outside is seen before, stopped on another node, told by hand and put right', async () => {
    incident = await outside(browser, nodes, person('admin'));
  });
  await checks.check('console: the wall shows what a machine tells on another node, and says when it is old', () =>
    wall(browser, nodes, person('viewer')));
  let state;
  await checks.check('console: a viewer sees what is happening and is told what a viewer may not do', () =>
    viewer(browser, nodes, person('viewer')));
  await checks.check('console: a code from an envelope opens it, and everybody sees that', async () => {
    state = await breakGlass(browser, nodes);
  });
  for (const lang of ['cs', 'en']) {
    const inside = { ...PAGES, ...(incident ? { incident } : {}) };
    for (const [name, where] of Object.entries({ 'sign-in': '/sign-in', glass: '/break-glass', ...(state ? inside : {}) })) {
      await checks.check(`console ${lang}, ${name}: axe finds nothing, 320 px suffice, targets are large, by day and by night`, () =>
        looksRight(browser, nodes, { lang, name, where, state, pictures }));
    }
  }
}

async function open(browser, options = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, locale: 'en-GB', ...options });
  return [context, await context.newPage()];
}

async function signIn(page, url, operator, later = 0) {
  await page.goto(`${url}/sign-in`);
  await page.locator('#name').fill(operator.name);
  await page.locator('#password').fill(operator.password);
  await page.locator('#code').fill(code(operator.totp_secret, later));
  await page.locator('main form button').click();
}

async function shift(browser, nodes, operator, javaScriptEnabled) {
  const [context, page] = await open(browser, { javaScriptEnabled, viewport: { width: 360, height: 740 } });
  await signIn(page, nodes[0].console, operator);
  await page.getByRole('heading', { name: 'What is happening' }).waitFor();
  await page.goto(`${nodes[1].console}/shift`);
  await page.locator('#note').fill('generator 2 is being repaired');
  await page.getByRole('button', { name: 'From now on' }).click();
  assert.equal(await page.locator('.code').innerText(), operator.name);
  assert.ok((await page.locator('main').innerText()).includes('generator 2 is being repaired'));
  await page.goto(`${nodes[2].console}/record?q=lead-shift`);
  assert.ok((await page.locator('main').innerText()).includes(operator.name));
  await page.getByRole('button', { name: 'Sign out' }).first().click();
  await page.goto(`${nodes[1].console}/`);
  assert.ok(page.url().includes('/sign-in'), page.url());
  await context.close();
}

// The leader's minute at night: a prepared text, the place, a look, said. Gives the address of the incident's page.
async function speaks(browser, nodes, operator) {
  const [context, page] = await open(browser, { javaScriptEnabled: false, viewport: { width: 360, height: 740 } });
  const publicly = async (path, words) => {
    const other = await context.newPage();
    await until(`${path} says ${words}`, SEEN_MS, async () => {
      await other.goto(`${nodes[2].https.replace(/\/$/, '')}${path}`);
      return (await other.locator('main').innerText()).includes(words);
    });
    await other.close();
  };
  await signIn(page, nodes[0].console, operator, 1);
  await page.getByRole('link', { name: 'Incidents', exact: true }).click();
  await page.getByRole('link', { name: 'No power', exact: true }).click();
  await page.locator('[name=do][value=say]').click();
  assert.ok((await page.getByRole('alert').innerText()).includes('{where}'), 'an empty place is refused');
  await page.locator('#where').fill('Praha 1');
  await page.locator('[name=do][value=preview]').click();
  assert.ok((await page.locator('.seen').innerText()).includes('Výpadek napájení: Praha 1'));
  await page.locator('[name=do][value=say]').click();
  await page.getByRole('heading', { name: 'No power: Praha 1' }).waitFor();
  const where = new URL(page.url()).pathname;
  await publicly('/cs/', 'Výpadek napájení: Praha 1');
  await page.locator('#stage').selectOption('identified');
  await page.locator('#text-en').fill('The generator is being started.');
  await page.locator('section[aria-labelledby=new] [value=say]').click();
  await publicly(where.replace('/incidents', '/incident') + '?lang=en', 'The generator is being started.');
  await page.locator('details').first().locator('summary').click();
  await page.locator('#edit-2-cs').fill('Startujeme: {where}');
  await page.getByRole('button', { name: 'Say it so' }).first().click();
  assert.ok((await page.getByRole('alert').innerText()).includes('{where}'));
  assert.equal(await page.locator('#edit-2-cs').inputValue(), 'Startujeme: {where}', 'what was typed is lost');
  await page.locator('#edit-2-cs').fill('Startujeme generátor.');
  await page.getByRole('button', { name: 'Say it so' }).first().click();
  await publicly('/cs/', 'Startujeme generátor.');
  await page.locator('#reason').fill('This was a drill.');
  await page.getByRole('button', { name: 'Take the whole back' }).click();
  // Else the answer of this form could come after the next page and take its place.
  await page.getByText('taken back').first().waitFor();
  await publicly(where.replace('/incidents', '/incident') + '?lang=en', 'This was a drill.');
  // One goes on, so that its page with all its forms is looked at.
  await page.goto(`${nodes[1].console}/incidents`);
  await page.getByRole('link', { name: 'Not known yet', exact: true }).click();
  await page.locator('[name=do][value=say]').click();
  await page.getByRole('heading', { name: 'Some services do not work' }).waitFor();
  const going = new URL(page.url()).pathname;
  await context.close();
  return going;
}

// Channels outside: chosen in the form, seen before, stopped from any page, told by hand, and put right.
async function outside(browser, nodes, operator) {
  const make = (name, ...rest) => ask(nodes[0], 'channel', 'add', name, '--usual', ...rest);
  make('wall', '--kind', 'by-hand', '--chars', '280', '--lang', 'cs', '--reach', '4000');
  make('list', '--kind', 'mail', '--address', 'status@lists.example.test');
  const [context, page] = await open(browser, { javaScriptEnabled: false, viewport: { width: 360, height: 740 } });
  await signIn(page, nodes[1].console, operator, 1);
  await page.goto(`${nodes[1].console}/incidents?scenario=network`);
  await page.locator('#where').fill('Brno');
  await page.locator('[name=do][value=preview]').click();
  const seen = await page.locator('.seen').innerText();
  assert.ok(seen.includes('Through wall') && seen.includes('Through list'), seen);
  assert.ok(await page.locator('[name=tell][value=wall]').isChecked());
  await page.locator('[name=do][value=say]').click();
  await page.getByRole('heading', { name: 'Told outside', exact: true }).waitFor();
  const where = page.url();
  const strip = page.locator('.leaves');
  await page.goto(`${nodes[2].console}/nodes`);
  assert.ok((await strip.innerText()).includes('list'), 'every page says what leaves');
  await strip.getByRole('button', { name: 'Stop' }).click();
  await page.waitForURL(`${nodes[2].console}/nodes`);
  assert.equal(await strip.count(), 0);
  await page.goto(where);
  const told = page.locator('section[aria-labelledby=outside]');
  assert.ok((await told.innerText()).includes(`stopped by ${operator.name}`), await told.innerText());
  assert.ok((await page.getByLabel('Copy this').inputValue()).includes('Brno'));
  await page.getByLabel('Where it can be seen').fill('https://social.example.test/1');
  await page.getByRole('button', { name: 'It is told' }).click();
  assert.equal(await page.getByRole('link', { name: 'See it there' }).getAttribute('href'), 'https://social.example.test/1');
  await page.locator('details').first().locator('summary').click();
  await page.locator('#edit-1-cs').fill('Půlka Brna.');
  await page.getByRole('button', { name: 'Say it so' }).first().click();
  await page.getByRole('button', { name: 'Tell there what holds now' }).click();
  const correction = await page.getByLabel('Copy this').inputValue();
  assert.ok(correction.startsWith('Oprava:') && correction.includes('Půlka Brna.'), correction);
  await context.close();
  return new URL(where).pathname;
}

// A screen in the room, on which nobody touches anything.
async function wall(browser, nodes, operator) {
  const [context, page] = await open(browser, { viewport: { width: 1280, height: 720 } });
  await signIn(page, nodes[2].console, operator);
  await page.goto(`${nodes[2].console}/wall`);
  const tile = (title) => page.locator('.tile', { hasText: title });
  await page.locator('.tile', { hasText: 'agree' }).first().waitFor();
  ask(nodes[0], 'gauge', 'tell', 'hall-b', '312 kW', '--title', 'Power, hall B', '--level', 'warning', '--fresh', '10');
  ask(nodes[1], 'gauge', 'tell', 'outside', '-4 °C', '--title', 'Outside', '--fresh', '3600');
  await tile('Power, hall B').getByText('312 kW').waitFor({ timeout: SEEN_MS });
  await tile('Outside').getByText('-4 °C').waitFor({ timeout: SEEN_MS });
  await tile('Power, hall B').getByText('STALE').waitFor({ timeout: 2 * SEEN_MS });
  assert.equal(await tile('Outside').getByText('STALE').count(), 0);
  await context.close();
}

function ask(node, ...words) {
  const program = process.env.LIFEBOAT || path.resolve('target/debug/lifeboat');
  return execFileSync(program, [...words, '--config', node.config]);
}

async function viewer(browser, nodes, operator) {
  const [context, page] = await open(browser);
  await signIn(page, nodes[2].console, operator, 1);
  await page.getByRole('heading', { name: 'What is happening' }).waitFor();
  assert.equal(await page.getByRole('link', { name: 'People' }).count(), 0);
  const answer = await page.goto(`${nodes[2].console}/people`);
  assert.equal(answer.status(), 403);
  assert.ok((await page.locator('main').innerText()).includes('does not have the role admin'));
  await context.close();
}

async function breakGlass(browser, nodes) {
  const said = ask(nodes[0], 'breakglass', 'print', '--holder', 'safe', '--json');
  const envelope = JSON.parse(said);
  assert.equal(envelope.nodes.length, nodes.length);
  const [context, page] = await open(browser);
  await page.goto(`${nodes[0].console}/break-glass`);
  await page.locator('#code').fill(envelope.codes[0].toLowerCase().replaceAll('-', ' '));
  await page.locator('main form button').click();
  await page.getByRole('alert').waitFor();
  assert.ok((await page.getByRole('alert').innerText()).includes(`envelope ${envelope.serial}`));
  const state = await context.storageState();
  await page.goto(`${nodes[1].console}/break-glass`);
  await page.locator('#code').fill(envelope.codes[0]);
  await page.locator('main form button').click();
  assert.ok((await page.locator('main').innerText()).includes('opens nothing any more'));
  await context.close();
  return state;
}

async function looksRight(browser, nodes, { lang, name, where, state, pictures }) {
  // axe is put into the page by us, which the pages' own policy rightly forbids.
  const storageState = ['sign-in', 'glass'].includes(name) ? undefined : state;
  const [context, page] = await open(browser, { bypassCSP: true, locale: lang, storageState, viewport: { width: 320, height: 640 } });
  const answer = await page.goto(`${nodes[0].console}${where}`);
  assert.equal(answer.status(), 200);
  assert.equal(await page.locator('html').getAttribute('lang'), lang);
  const bytes = (await answer.body()).length;
  assert.ok(bytes <= PAGE_BYTES_MAX, `${bytes} bytes`);
  await judged(page, async (wrong, colorScheme, width) => {
    if (pictures) await page.screenshot({ path: path.join(pictures, `console-${name}-${lang}-${colorScheme}-${width}.png`), fullPage: true });
    assert.deepEqual(wrong, [], `${colorScheme}, ${width} px`);
  });
  await context.close();
}

module.exports = { operators: console_, code, looksRight };

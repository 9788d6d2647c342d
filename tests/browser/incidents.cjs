// What the company says, as customers see it: one incident with a correction, a promise and a text that is not
// translated, one that is over, one maintenance. Said with the command line, once, and taken back at the end.
'use strict';
const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const http = require('node:http');
const path = require('node:path');
const { until } = require('./gateway.cjs');
const { firstLoad, looksRight } = require('./looks.cjs');

const SEEN_MS = 10_000;

async function incidents(checks, browser, gateway, pictures) {
  const lifeboat = (...words) => {
    const program = process.env.LIFEBOAT || path.resolve('target/debug/lifeboat');
    return JSON.parse(execFileSync(program, [...words, '--json', '--config', gateway.nodes[0].config]));
  };
  const url = gateway.url(1);
  let said;
  await checks.check('an incident that is said once is the first thing on another node\'s page', async () => {
    said = speak(lifeboat);
    await first(browser, url);
  });
  if (!said) return;
  for (const lang of ['cs', 'en']) {
    await checks.check(`${lang}: the first load is one small answer also while something happens`, () =>
      firstLoad(browser, `${url}/${lang}/`));
    const pages = { happening: `/${lang}/`, status: `/status?lang=${lang}`, incident: `/incident/${said.power}?lang=${lang}`, over: `/incident/${said.over}?lang=${lang}` };
    for (const [name, where] of Object.entries(pages)) {
      await checks.check(`${lang}, ${name}: axe finds nothing, 320 px suffice, targets are large, by day and by night`, () =>
        looksRight(browser, { lang, name, pictures, arrive: (customer) => customer.page.goto(url + where) }));
    }
  }
  await checks.check('a correction shows what was said before; a text that is not translated says which language it is in', () =>
    corrected(browser, url, said.power));
  await checks.check('the banner shows on a page of another site, in its language, and a page without an incident stays as it is', () =>
    banner(browser, url));
  await checks.check('what was withdrawn is gone from the first page, and stays to be read, marked', async () => {
    lifeboat('incident', 'withdraw', said.power, '--reason', 'It was a drill.');
    await withdrawn(browser, url, said.power);
  });
}

// A page of the company's own website, elsewhere, that names our script.
async function banner(browser, url) {
  const server = http.createServer((request, answer) => {
    answer.setHeader('content-type', 'text/html; charset=utf-8');
    answer.end(`<!doctype html><html lang="cs"><title>Hosting</title><h1>Hosting</h1><script async src="${url}/embed.js"></script>`);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 360, height: 640 } });
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const bar = page.locator('#lifeboat-banner');
  await bar.waitFor();
  assert.ok((await bar.innerText()).includes('Datacentrum Praha je bez proudu'), await bar.innerText());
  const href = await bar.getByRole('link').first().getAttribute('href');
  assert.match(href, /\/incident\/[0-9a-f]{8}$/);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0);
  await context.close();
  server.close();
}

const hence = (hours) => new Date(Date.now() + hours * 3_600_000).toISOString();

function speak(lifeboat) {
  lifeboat('component', 'add', 'web', '--name', 'en=Websites', '--name', 'cs=Webové stránky');
  lifeboat('component', 'add', 'mail', '--name', 'en=E-mail', '--name', 'cs=Pošta');
  const over = lifeboat('incident', 'open', '--severity', 'minor', '--title', 'en=Slow mail', '--title', 'cs=Pomalá pošta',
    '--affects', 'mail=limited', '--text', 'en=Mail comes late.', '--text', 'cs=Pošta chodí pozdě.').incident;
  lifeboat('incident', 'resolve', over, '--text', 'en=Mail is on time again.', '--text', 'cs=Pošta zase chodí včas.');
  lifeboat('maintenance', 'plan', '--title', 'en=New routers', '--title', 'cs=Nové směrovače', '--affects', 'web=limited',
    '--from', hence(48), '--until', hence(50), '--text', 'en=Short interruptions are possible.', '--text', 'cs=Možné jsou krátké výpadky.');
  const power = lifeboat('incident', 'open', '--severity', 'critical', '--title', 'en=No power in the Prague datacentre',
    '--title', 'cs=Datacentrum Praha je bez proudu', '--affects', 'web=down', '--affects', 'mail=limited', '--next', '45m',
    '--text', 'en=All websites are down. Your data is safe.', '--text', 'cs=Žádný web nejede. Vaše data jsou v bezpečí.').incident;
  lifeboat('incident', 'edit', power, '--update', '1', '--text', 'en=Half of the websites are down. Your data is safe.',
    '--text', 'cs=Polovina webů nejede. Vaše data jsou v bezpečí.');
  lifeboat('incident', 'update', power, '--stage', 'identified', '--next', '30m', '--text',
    `en=The generator has started. Addresses of the rescue servers: https://example.com/${'a-long-address/'.repeat(6)}`);
  return { over, power };
}

async function first(browser, url) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 360, height: 640 } });
  const page = await context.newPage();
  await until('the page leads with the incident', SEEN_MS, async () => {
    await page.goto(`${url}/cs/`);
    return (await page.locator('h1').first().innerText()).includes('Praha');
  });
  const box = await page.locator('h1').first().boundingBox();
  assert.ok(box.y + box.height < 400, `the heading ends at ${box.y + box.height} px`);
  assert.equal(await page.locator('h1').count(), 1, 'one h1');
  await context.close();
}

async function corrected(browser, url, id) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  await page.goto(`${url}/incident/${id}?lang=cs`);
  const text = await page.locator('main').innerText();
  assert.ok(text.includes('Polovina webů nejede'), text);
  assert.equal(await page.locator('main p[lang=en]').count() > 0, true, 'English words are marked as English');
  const before = page.locator('details').first();
  assert.equal(await before.locator('p').first().isVisible(), false);
  await before.locator('summary').click();
  assert.ok((await before.innerText()).includes('Žádný web nejede'));
  await context.close();
}

async function withdrawn(browser, url, id) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  await until('the first page does not show it any more', SEEN_MS, async () => {
    await page.goto(`${url}/en/`);
    return !(await page.locator('main').innerText()).includes('No power');
  });
  await page.goto(`${url}/incident/${id}?lang=en`);
  assert.ok((await page.locator('main').innerText()).includes('It was a drill.'));
  await context.close();
}

module.exports = { incidents };

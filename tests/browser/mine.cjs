// "Is it me?", as a customer meets it: on the first page while something happens, without JavaScript, answered on another
// node than the one that the customers were taken in on. The incident is taken back at the end.
'use strict';
const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { until } = require('./gateway.cjs');
const { firstLoad, looksRight } = require('./looks.cjs');

const SEEN_MS = 10_000;
const CUSTOMERS = `customer;email;server;datacentre;product;domain
100001;jana@mail.example;web1.example.net;prague;hosting;nova.example
100002;ann@mail.example;vps3.example.net;brno;vps;ann.example
`;

async function mine(checks, browser, gateway, pictures) {
  const lifeboat = (...words) => {
    const program = process.env.LIFEBOAT || path.resolve('target/debug/lifeboat');
    return JSON.parse(execFileSync(program, [...words, '--json', '--config', gateway.nodes[0].config]));
  };
  const url = gateway.url(1);
  let incident;
  await checks.check('while something happens the first page asks "is it me?", and has no such question before', async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lifeboat-mine-'));
    const file = path.join(folder, 'customers.csv');
    fs.writeFileSync(file, CUSTOMERS);
    const before = lifeboat('directory', 'show').versions.find((it) => it.live);
    lifeboat('directory', 'import', file, ...(before ? ['--confirm', String(before.customers)] : []));
    fs.rmSync(folder, { recursive: true });
    assert.equal(await hasQuestion(browser, url), false);
    incident = lifeboat('incident', 'open', '--severity', 'critical', '--title', 'en=No power in the Prague datacentre',
      '--title', 'cs=Datacentrum Praha je bez proudu', '--next', '45m', '--text', 'en=All websites are down.', '--text', 'cs=Žádný web nejede.').incident;
    lifeboat('directory', 'affects', incident, 'datacentre=prague');
    await until('the first page asks', SEEN_MS, () => hasQuestion(browser, url));
  });
  if (!incident) return;
  for (const lang of ['cs', 'en']) {
    await checks.check(`${lang}: the first load with the question is one small answer`, () => firstLoad(browser, `${url}/${lang}/`));
    const pages = {
      'mine-question': (customer) => customer.page.goto(`${url}/${lang}/`),
      'mine-affected': (customer) => ask(customer.page, `${url}/${lang}/`, 'https://www.nova.example/shop'),
      'mine-not': (customer) => ask(customer.page, `${url}/${lang}/`, 'ann.example'),
      'mine-wrong': async (customer) => {
        await customer.page.goto(`${url}/is-it-me?lang=${lang}`);
        await customer.page.evaluate(() => document.getElementById('asked').removeAttribute('required'));
        await customer.page.locator('main form button').click();
        await customer.page.getByRole('alert').waitFor();
      },
    };
    for (const [name, arrive] of Object.entries(pages)) {
      await checks.check(`${lang}, ${name}: axe finds nothing, 320 px suffice, targets are large, by day and by night`, () =>
        looksRight(browser, { lang, name, pictures, arrive }));
    }
  }
  await checks.check('without JavaScript who is affected is told by what, and nobody\'s name gets the same words as a customer\'s', async () => {
    const context = await browser.newContext({ ignoreHTTPSErrors: true, javaScriptEnabled: false });
    const page = await context.newPage();
    await ask(page, `${url}/en/`, 'web1.example.net');
    const told = await page.locator('main').innerText();
    assert.ok(told.includes('web1.example.net is affected') && told.includes('No power in the Prague datacentre'), told);
    assert.ok(!told.includes('hosting') && !told.includes('jana'), told);
    const words = [];
    for (const name of ['ann.example', 'xyz.example']) {
      await ask(page, `${url}/en/`, name);
      words.push((await page.locator('main').innerText()).replaceAll(name, '...'));
    }
    assert.equal(words[0], words[1]);
    await context.close();
  });
  lifeboat('incident', 'withdraw', incident, '--reason', 'It was a drill.');
}

async function ask(page, first, name) {
  await page.goto(first);
  await page.locator('#asked').fill(name);
  await page.locator('form[action="/is-it-me"] button').click();
  await page.waitForURL('**/is-it-me');
}

async function hasQuestion(browser, url) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  await page.goto(`${url}/en/`);
  const count = await page.locator('form[action="/is-it-me"]').count();
  await context.close();
  return count > 0;
}

module.exports = { mine };

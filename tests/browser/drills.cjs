// A drill from the console: begun, worked through without JavaScript, marked wherever it shows, and nowhere among what is
// real. Needs the demo's nodes; makes its own operator, as a code is good once.
'use strict';
const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
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
  await page.context().close();
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

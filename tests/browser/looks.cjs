// How the pages look and weigh: axe, the byte budget, 320 px, targets, keyboard, print.
'use strict';
const assert = require('node:assert/strict');
const path = require('node:path');
const { judged } = require('./axe.cjs');
const { Customer } = require('./customer.cjs');

// One TCP window after the handshake, with headers (design section 7).
const FIRST_LOAD_BYTES_MAX = 12_000;

// Every kind of page, as a way to get there.
const PAGES = {
  front: (customer, url) => customer.visit(url),
  ticket: (customer, url) => customer.page.goto(`${url}/ticket?lang=${customer.lang}`),
  missing: (customer, url) => customer.page.goto(`${url}/no-such-page?lang=${customer.lang}`),
  wrong: async (customer, url) => {
    await customer.visit(url);
    await customer.fill({ text: 'x', contact: 'jana@firma' });
    await customer.send();
    await customer.page.getByRole('alert').waitFor();
  },
  conversation: async (customer, url) => {
    await customer.visit(url);
    await customer.fill({ text: `Nejde web.\n\nhttps://example.com/${'dlouha-adresa/'.repeat(8)}`, contact: '+420 234 567 890' });
    await customer.send();
    await customer.page.locator('.code').waitFor();
  },
};

async function looks(checks, browser, gateway, pictures) {
  const url = gateway.url(0);
  for (const lang of ['cs', 'en']) {
    await checks.check(`${lang}: the first load is one answer of at most ${FIRST_LOAD_BYTES_MAX} bytes, headers included`, () =>
      firstLoad(browser, `${url}/${lang}/`));
    for (const name of Object.keys(PAGES)) {
      await checks.check(`${lang}, ${name}: axe finds nothing, 320 px suffice, targets are large, by day and by night`, () =>
        looksRight(browser, { lang, name, pictures, arrive: (customer) => PAGES[name](customer, url) }));
    }
  }
  await checks.check('the keyboard reaches the content first, and shows where it is', () => keyboard(browser, url));
  await checks.check('print leaves the form out and keeps the numbers', () => print(browser, url));
}

async function firstLoad(browser, address) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  const devtools = await context.newCDPSession(page);
  await devtools.send('Network.enable');
  const sizes = [];
  devtools.on('Network.loadingFinished', (event) => sizes.push(event.encodedDataLength));
  await page.goto(address, { waitUntil: 'networkidle' });
  await context.close();
  assert.equal(sizes.length, 1, `${sizes.length} requests`);
  assert.ok(sizes[0] > 0 && sizes[0] <= FIRST_LOAD_BYTES_MAX, `${sizes[0]} bytes`);
  console.log(`     ${address}: ${sizes[0]} bytes`);
}

// Goes to a page with `arrive` and looks at it by day and by night, on a phone and on a desk.
async function looksRight(browser, { lang, name, arrive, pictures }) {
  // axe is put into the page by us, which the pages' own policy rightly forbids.
  const context = await browser.newContext({ ignoreHTTPSErrors: true, bypassCSP: true, viewport: { width: 320, height: 640 } });
  const page = await context.newPage();
  await arrive(new Customer(page, lang));
  await judged(page, async (wrong, colorScheme, width) => {
    if (pictures) await page.screenshot({ path: path.join(pictures, `${name}-${lang}-${colorScheme}-${width}.png`), fullPage: true });
    assert.deepEqual(wrong, [], `${colorScheme}, ${width} px`);
  });
  await context.close();
}

async function keyboard(browser, url) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  await page.goto(`${url}/en/`);
  await page.keyboard.press('Tab');
  const skip = page.locator(':focus');
  assert.equal(await skip.innerText(), 'Skip to the content');
  assert.ok((await skip.boundingBox()).x >= 0, 'the skip link is seen when it has the focus');
  assert.equal(await skip.evaluate((element) => getComputedStyle(element).outlineWidth), '3px');
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  assert.equal(await page.locator(':focus').getAttribute('name'), 'text');
  await context.close();
}

async function print(browser, url) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  await page.goto(`${url}/cs/`);
  await page.emulateMedia({ media: 'print' });
  assert.equal(await page.locator('form:visible').count(), 0);
  assert.ok(await page.locator('h1').isVisible());
  const phones = page.locator('a[href^="tel:"]');
  for (let at = 0; at < await phones.count(); at += 1) assert.ok(await phones.nth(at).isVisible());
  await context.close();
}

module.exports = { firstLoad, looks, looksRight };

// A customer's way from the first page to a conversation and back, on several nodes, in both languages.
'use strict';
const assert = require('node:assert/strict');
const { Customer, post } = require('./customer.cjs');
const { until } = require('./gateway.cjs');

async function journey(checks, browser, gateway, javaScriptEnabled) {
  const how = javaScriptEnabled ? 'with JavaScript' : 'without JavaScript';
  for (const lang of ['cs', 'en']) {
    const context = await browser.newContext({ ignoreHTTPSErrors: true, javaScriptEnabled, locale: lang });
    const customer = new Customer(await context.newPage(), lang);
    const said = { text: `Nejde web.\nOd rána. (${how}, ${lang})`, contact: 'jana@example.com', reference: 'example.com' };
    let code;
    let path;

    await checks.check(`${how}, ${lang}: the first page is in the browser's language`, async () => {
      await customer.page.goto(`${gateway.url(0)}/`);
      assert.equal(await customer.page.locator('html').getAttribute('lang'), lang);
    });

    await checks.check(`${how}, ${lang}: a message is safely stored and gets a code`, async () => {
      await customer.visit(gateway.url(0));
      await customer.fill(said);
      await customer.send();
      assert.equal(await customer.heading(), customer.words.safe);
      code = await customer.code();
      assert.match(code, /^[2-9A-Z]{3}-[2-9A-Z]{3}-[2-9A-Z]{3}$/);
      path = new URL(customer.page.url()).pathname;
      assert.deepEqual(await customer.messages(), [said.text]);
      assert.match(await customer.page.locator('main').innerText(), /j…@example\.com/);
    });

    await checks.check(`${how}, ${lang}: code and e-mail open it on another node, where more can be written`, async () => {
      await customer.openTicket(gateway.url(1), code, 'Jana@Example.com');
      assert.equal(new URL(customer.page.url()).pathname, path);
      assert.deepEqual(await customer.messages(), [said.text]);
      await customer.field('text').fill('Ani pošta.');
      await customer.send();
      await until('both messages are on the page', 10_000, async () =>
        JSON.stringify(await customer.messages()) === JSON.stringify([said.text, 'Ani pošta.']));
      await until('it is safely stored', 10_000, async () => (await customer.heading()) === customer.words.safe);
    });

    await checks.check(`${how}, ${lang}: the link shows both messages on a third node`, async () => {
      await until('both messages have arrived', 10_000, async () => {
        await customer.page.goto(gateway.url(2) + path);
        return (await customer.messages()).length === 2;
      });
    });

    await checks.check(`${how}, ${lang}: a wrong contact opens nothing`, async () => {
      await customer.openTicket(gateway.url(1), code, 'petr@example.com');
      await customer.page.getByRole('alert').waitFor();
      assert.equal(await customer.page.locator('.msg').count(), 0);
    });

    await checks.check(`${how}, ${lang}: bad input gets the same page, with all kept and the field named`, async () => {
      await customer.visit(gateway.url(0));
      await customer.fill({ ...said, contact: 'jana@firma' });
      const [answer] = await Promise.all([customer.page.waitForEvent('response'), customer.send()]);
      assert.equal(answer.status(), 422);
      await customer.page.getByRole('alert').getByText(customer.words.problem).waitFor();
      assert.equal(await customer.field('contact').inputValue(), 'jana@firma');
      assert.equal(await customer.field('text').inputValue(), said.text);
      assert.equal(await customer.field('contact').getAttribute('aria-invalid'), 'true');
      await customer.page.getByRole('alert').getByRole('link').click();
      assert.match(customer.page.url(), /#contact$/);
      await customer.field('contact').fill(said.contact);
      await customer.send();
      assert.equal(await customer.heading(), customer.words.safe);
    });

    await checks.check(`${how}, ${lang}: a POST sent twice is one message, on whichever node`, async () => {
      await customer.visit(gateway.url(0));
      await customer.fill({ ...said, text: `Dvakrát? ${how}` });
      const body = await customer.body();
      const first = await post(context, gateway.url(0), body);
      assert.equal(await post(context, gateway.url(0), body), first);
      assert.equal(await post(context, gateway.url(1), body), first);
      await customer.page.goto(gateway.url(0) + first);
      assert.deepEqual(await customer.messages(), [body.text]);
      const changed = await post(context, gateway.url(0), { ...body, text: `${body.text} Ne.` });
      assert.notEqual(changed, first, '"back, change, send" is a new message');
    });

    await context.close();
  }
}

module.exports = { journey };

import { ordersSuite } from "./__fixtures__/orders-suite.ts";

ordersSuite(() => ({ engine: { reattachMs: 200 } }));

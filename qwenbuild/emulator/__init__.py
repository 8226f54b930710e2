"""A local service that speaks DashScope's protocol, with faults to inject and a bill.

The way of one request through the modules:

1. `server` runs `app`, which finds the endpoint.
2. `exchange` records the call, and `emulation` holds the records.
3. `faults` decides whether a fault hits the call; `fault_effects` carries it out.
4. `request_body` validates the body and returns an order.
5. `dashscope` checks the account and its `rate_limit`, and runs `tasks`.
6. `bill` charges each image, and `results` signs its link.
7. `responses` sends the answer, in the words of `vendor_errors` and `wire_format`.
8. `images` draws the image when its link is opened.

`control_endpoints` shows all this to people and tests.
"""

# SPDX-License-Identifier: MIT
"""Large integers and decimals: blocks that are big and short-lived."""
import decimal

REPEAT = 28


def run():
    for n in (1500, 2500):
        product = 1
        for i in range(2, n):
            product *= i
        assert len(hex(product)) > 4000 or product > 0
    context = decimal.Context(prec=60000, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)
    with decimal.localcontext(context):
        for n in (1500, 4000):
            product = decimal.Decimal(1)
            for i in range(2, n):
                product *= i
            assert product.adjusted() > 4000

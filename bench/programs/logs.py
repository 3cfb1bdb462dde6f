# SPDX-License-Identifier: MIT
"""Logging: formatted to memory, filtered, silent levels."""
import io
import logging

REPEAT = 5


def run():
    stream = io.StringIO()
    logger = logging.getLogger("bench.logs")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(funcName)s:%(lineno)d %(message)s"))
    handler.addFilter(lambda record: "skip" not in record.msg)
    logger.handlers[:] = [handler]
    for i in range(6000):
        logger.debug("unseen %d", i)
        logger.info("request %d from %s took %.3f s", i, "host%d" % (i % 10), i / 7)
        if i % 10 == 0:
            logger.warning("skip %s", i)
            stream.seek(0)
            stream.truncate()

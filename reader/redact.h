/* SPDX-License-Identifier: MIT */
/*
 * Names that say nothing, but stay the same: "redacted-0123456789abcdef", the SipHash-2-4 of the name under a key.
 *
 * Without a key of one's own the key is public: equal names can be told in all snapshots, and whoever guesses a name can
 * see whether the guess is right.  With a secret key nobody else can.
 */
#ifndef TM_REDACT_H
#define TM_REDACT_H

#include "model.h"

#define TM_REDACTED_SIZE 25

struct tm_redactor {
    uint64_t key[2];
};

/* NULL or "": the public key. */
void tm_redactor_init(struct tm_redactor *redactor, const char *key);
/* Writes exactly TM_REDACTED_SIZE bytes, or returns false: the name is Python's own and stays ("<module>"). */
bool tm_redact(const struct tm_redactor *redactor, struct tm_string_ref name, char *ret);

#endif

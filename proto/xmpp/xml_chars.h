/* Characters of XML 1.0 for our own scanner of canonical XML: UTF-8 and the names expat accepts
 * (fourth edition, appendix B), so that nothing passes here that an expat behind us refuses. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/str.h"

/* Length in bytes of the character at `at` and its code point; 0 when it is no character of XML:
 * bad UTF-8, surrogate, U+FFFE, U+FFFF, control. */
size_t xml_char_decode(const char *at, const char *end, uint32_t *code_out);

/* Length of the NCName (no colon) that begins at `at`; 0 when none does. */
size_t xml_char_name_length(const char *at, const char *end);

/* A namespace name is an absolute URI (Namespaces in XML §2.2), so it holds no space, quote, brace
 * or control: many parsers join namespace and local name with such a byte and refuse, or split
 * wrongly, a name that has it (A19). Bytes beyond ASCII are let through. */
bool xml_char_is_namespace(struct str ns);

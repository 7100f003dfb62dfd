-- Contact lists. Who runs the database reads neither addresses nor names: `contact` is a keyed hash and `item` is
-- sealed, both with a key of the account, which itself is wrapped by a key that only routers hold.

CREATE TABLE router.account_key (
    owner bigint PRIMARY KEY REFERENCES router.account (id) ON DELETE CASCADE,
    wrapped bytea NOT NULL,
    CHECK (octet_length(wrapped) BETWEEN 32 AND 256)
);

-- Grows with every change of the account's roster (RFC 6121 section 2.6).
CREATE TABLE router.roster_version (
    owner bigint PRIMARY KEY REFERENCES router.account (id) ON DELETE CASCADE,
    version bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE router.roster (
    owner bigint NOT NULL REFERENCES router.account (id) ON DELETE CASCADE,
    contact bytea NOT NULL,
    item bytea NOT NULL,
    PRIMARY KEY (owner, contact),
    CHECK (octet_length(contact) = 32)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON router.account_key, router.roster_version, router.roster TO starling_router;

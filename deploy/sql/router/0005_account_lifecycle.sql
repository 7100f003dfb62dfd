-- From the first login to the tombstone: when an account was used last (a day, no more), how far the policy for
-- inactive ones has come with it, what it is still to be told, and which names are blocked.

-- `counted_from`: inactivity counts from here (made, used, enabled). What exists already begins today: the policy
-- must not meet accounts whose logins nobody has noted yet.
ALTER TABLE router.account
    ADD COLUMN last_login date,
    ADD COLUMN counted_from date NOT NULL DEFAULT current_date,
    ADD COLUMN inactive_stage smallint NOT NULL DEFAULT 0 CHECK (inactive_stage BETWEEN 0 AND 2), -- 1 warned, 2 disabled
    ADD COLUMN stage_day date;

GRANT UPDATE (last_login, counted_from, inactive_stage, stage_day), DELETE ON router.account TO starling_router;

-- A deleted account (state 2) is an erasure that is not finished. Its home ends it with the row itself.
CREATE INDEX account_to_erase ON router.account (id) WHERE state = 2;

-- What an account is to be told by its host; the row goes when the message is in its log.
CREATE TABLE router.account_notice (
    owner bigint NOT NULL REFERENCES router.account (id) ON DELETE CASCADE,
    kind smallint NOT NULL,                        -- 1 welcome, 2 inactive
    created date NOT NULL DEFAULT current_date,
    PRIMARY KEY (owner, kind)
);

-- What is left of an erased account. `name` is a keyed hash of the address; the key is not here.
CREATE TABLE router.tombstone (
    name bytea PRIMARY KEY CHECK (octet_length(name) = 32),
    until date NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON router.account_notice, router.tombstone TO starling_router;

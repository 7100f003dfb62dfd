-- Who looks like whom (UTS #39): the same value for all names of a host that are taken for each other. Registration
-- in-band asks for it. Routers write it for accounts from before as they find time; until then it is NULL.

ALTER TABLE router.account ADD COLUMN look_alike bytea CHECK (octet_length(look_alike) = 16);
CREATE INDEX account_look_alike ON router.account (look_alike) WHERE look_alike IS NOT NULL;
CREATE INDEX account_unmarked ON router.account (id) WHERE look_alike IS NULL;

GRANT UPDATE (look_alike) ON router.account TO starling_router;

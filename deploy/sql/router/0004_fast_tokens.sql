-- Tokens of clients that log in without a password (XEP-0484). A row is a family: all tokens of one
-- client of one account. A token itself is nowhere: routers make it from the seed and the key of
-- router.token_key_file, so this table alone lets nobody in.

CREATE TABLE router.fast_client (
    owner bigint NOT NULL REFERENCES router.account (id) ON DELETE CASCADE,
    client uuid NOT NULL,                          -- user-agent id (XEP-0388)
    version bigint NOT NULL DEFAULT 0,             -- grows with every change
    attempt uuid,                                  -- which login has changed it last
    -- Given and not used yet; in use; used before that one: to be seen again is a theft.
    fresh_seed bytea, fresh_mechanism smallint, fresh_expires bigint, fresh_count bigint,
    current_seed bytea, current_mechanism smallint, current_expires bigint, current_count bigint,
    former_seed bytea, former_mechanism smallint, former_expires bigint, former_count bigint,
    PRIMARY KEY (owner, client)
) WITH (fillfactor = 70);

GRANT SELECT, INSERT, UPDATE, DELETE ON router.fast_client TO starling_router;

-- A new password, or the end of the account, ends all of them, whoever changes it and by which way.
CREATE FUNCTION router.forget_fast_clients() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM router.fast_client WHERE owner = OLD.owner;
    RETURN NULL;
END
$$;

CREATE TRIGGER forget_fast_clients AFTER UPDATE OF stored_key OR DELETE ON router.credential
    FOR EACH ROW EXECUTE FUNCTION router.forget_fast_clients();

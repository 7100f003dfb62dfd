-- What accounts keep is sealed like their contact lists: `value`, and for private XML `key` is a keyed hash. Rows from
-- before are sealed by routers as they find time; until then is_sealed says which ones are not.

ALTER TABLE router.account_data ADD COLUMN is_sealed boolean NOT NULL DEFAULT false;
CREATE INDEX account_data_clear ON router.account_data (owner, kind, key) WHERE NOT is_sealed;

-- Which service key wraps an account's key: its format, and from format 2 on the key's id. Not a secret.
ALTER TABLE router.account_key ADD COLUMN wrapped_by bytea NOT NULL GENERATED ALWAYS AS
    (CASE WHEN get_byte(wrapped, 0) = 1 THEN substring(wrapped FROM 1 FOR 1) ELSE substring(wrapped FROM 1 FOR 9) END)
    STORED;
CREATE INDEX account_key_wrapped_by ON router.account_key (wrapped_by, owner);

/* Self-signed certificates and keys in a scratch folder, for tests of TLS. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "chassis/base/err.h"

struct tls_files {
    char folder[64];
};

struct tls_file_spec {
    const char *name; /* NAME.pem and NAME.key appear in the folder */
    const char *key;  /* "EC", "RSA", "ED25519" */
    const char *dns;
    long from_seconds; /* validity, from now; both 0: yesterday until in 90 days */
    long until_seconds;
    const EVP_MD *digest; /* NULL: SHA-256 */
};

static inline void tls_files_open(struct tls_files *files)
{
    (void)snprintf(files->folder, sizeof(files->folder), "/tmp/starling-tls-XXXXXX");
    ASSERT(mkdtemp(files->folder) != NULL);
}

static inline const char *tls_files_path(
        const struct tls_files *files, const char *name, const char *ending, char out[128])
{
    (void)snprintf(out, 128, "%s/%s.%s", files->folder, name, ending);
    return out;
}

static inline void tls_files_close(const struct tls_files *files)
{
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -r '%s'", files->folder);
    ASSERT(system(command) == 0);
}

static inline EVP_PKEY *tls_files_make_key(const char *type)
{
    if (type[0] == 'R') {
        return EVP_RSA_gen(2048);
    }
    return type[1] == 'C' ? EVP_EC_gen("P-256") : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

static inline X509 *tls_files_make_certificate(const struct tls_file_spec *spec, EVP_PKEY *key)
{
    enum {
        DAY = 24 * 60 * 60
    };
    bool has_dates = spec->from_seconds != 0 || spec->until_seconds != 0;
    char names[256];
    (void)snprintf(names, sizeof(names), "DNS:%s", spec->dns);
    X509 *certificate = X509_new();
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), has_dates ? spec->from_seconds : -DAY);
    X509_gmtime_adj(X509_getm_notAfter(certificate), has_dates ? spec->until_seconds : 90L * DAY);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate),
            "CN",
            MBSTRING_ASC,
            (const unsigned char *)spec->dns,
            -1,
            -1,
            0);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
    ASSERT(extension != NULL);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    const EVP_MD *digest = spec->digest != NULL ? spec->digest : EVP_sha256();
    ASSERT(X509_sign(certificate, key, spec->key[1] == 'D' ? NULL : digest) > 0);
    return certificate;
}

static inline void tls_files_make(const struct tls_files *files, const struct tls_file_spec *spec)
{
    char path[128];
    EVP_PKEY *key = tls_files_make_key(spec->key);
    X509 *certificate = tls_files_make_certificate(spec, key);
    FILE *file = fopen(tls_files_path(files, spec->name, "pem", path), "we");
    ASSERT(file != NULL && PEM_write_X509(file, certificate) == 1 && fclose(file) == 0);
    file = fopen(tls_files_path(files, spec->name, "key", path), "we");
    ASSERT(file != NULL && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1
            && fclose(file) == 0);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static inline void tls_files_write(
        const struct tls_files *files, const char *name, const char *ending, const char *text)
{
    char path[128];
    FILE *file = fopen(tls_files_path(files, name, ending, path), "we");
    ASSERT(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

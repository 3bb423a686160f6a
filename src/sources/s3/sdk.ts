/** Loaded with the first bucket that is asked: it is large, and many services never need it. */
export const loadSdk = () => import("@aws-sdk/client-s3");

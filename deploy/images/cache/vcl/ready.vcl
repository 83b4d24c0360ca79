# The API is asked every two seconds whether it can serve, its database included. The second failure in
# a row makes the cache do without it, the first success takes it back.

probe readiness {
    .url = "/readyz";
    .interval = 2s;
    .timeout = 2s;
    .window = 2;
    .threshold = 1;
    .initial = 2;
}

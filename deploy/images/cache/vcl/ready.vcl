# The API is asked every second whether it can serve, its database included. Eight failures in a row make
# the cache do without it, the first success takes it back.
#
# So many, because behind one address there may be several processes, of which each probe meets one: while
# some of them are gone, two failures in a row are soon there by chance.

probe readiness {
    .url = "/readyz";
    .interval = 1s;
    .timeout = 2s;
    .window = 8;
    .threshold = 1;
    .initial = 8;
}

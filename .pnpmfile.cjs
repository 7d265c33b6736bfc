// node-linux-* publish os and cpu as plain strings; newer pnpm majors call a lockfile written from those broken.
module.exports = {
  hooks: {
    readPackage(pkg) {
      if (/^node-linux-/.test(pkg.name)) {
        pkg.os = [pkg.os].flat();
        pkg.cpu = [pkg.cpu].flat();
      }
      return pkg;
    },
  },
};

// Mocha wants a reporter as what a module exports as a whole.
module.exports = require('../../out/test/scripts/countingReporter.js').CountingReporter;

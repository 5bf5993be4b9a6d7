/// The version of the product, as `headend --version` and `$SYS/broker/version` say it.
package enum HubVersion {
    package static let text = "headend 0.1.0"
}

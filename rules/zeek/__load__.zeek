##! Notices of zeekml as notices of Zeek. See docs/feeds.md of zeekml.
##!
##! Hosts that zeekml names become indicators of the Intel framework with one more line in
##! local.zeek: @load packages/zeekml/intel

@load ./config
@load ./notices

@if ( Version::at_least("6.0.0") )
@load ./stream
@else
@load ./table
@endif
